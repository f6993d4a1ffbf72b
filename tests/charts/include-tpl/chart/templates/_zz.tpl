{{- define "redefined" }}from _zz{{ end -}}
