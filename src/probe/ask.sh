# Asks again and again, and prints how it went: "NAME WORD MS MS ...", a number for each try, the word ok or
# what went wrong. Each answer that is another one than before is printed at once, the same one COUNT at a time.
# Arguments: NAME=COUNT=KIND=WHAT, where KIND is connect (host:port), lookup (name) or kept (file).
now() {
  read -r up _ < /proc/uptime
  ms="${up%.*}${up#*.}0"
}
lookup() {
  found=$(dig +short +tries=1 +time=1 "$1" A 2>/dev/null) && [ -n "$found" ] || { echo DNS; return 1; }
}
kept() {
  [ "$(cat "$1" 2>/dev/null)" = "$KEPT" ] || { echo LOST; return 1; }
  echo "$ms" > "$1.last" || { echo READONLY; return 1; }
}
connect() {
  /agnhost connect --timeout=1s "$1"
}
say() {
  [ -z "$took" ] || echo "$name $word$took"
  took= tries=0
}
ask() {
  name=$1 count=$2 kind=$3 what=$4
  word= took= tries=0
  trap 'say; exit 0' TERM
  while :; do
    now
    begin=$ms
    if said=$("$kind" "$what" 2>&1); then new=ok; else new=${said%%[!A-Z]*}; fi
    now
    if [ "${new:-FAILED}" != "$word" ]; then
      say
      word=${new:-FAILED}
      took=" $((ms - begin))"
      say
    else
      took="$took $((ms - begin))" tries=$((tries + 1))
      [ "$tries" -lt "$count" ] || say
    fi
    sleep 1 &
    wait $!
  done
}
asking=
trap 'kill $asking 2>/dev/null; wait; exit 0' TERM
for one in "$@"; do
  name=${one%%=*} rest=${one#*=}
  count=${rest%%=*} rest=${rest#*=}
  ask "$name" "$count" "${rest%%=*}" "${rest#*=}" &
  asking="$asking $!"
done
wait
