{{- define "check" }}
  {{- if eq .mode "bad" }}
    {{- fail (printf "mode %q is not supported" .mode) }}
  {{- end }}
{{- end }}
