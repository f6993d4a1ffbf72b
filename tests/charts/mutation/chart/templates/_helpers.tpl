{{- define "setup" }}
  {{- if not .authority }}
    {{- $_ := set . "authority" (dict "name" "made once" "uses" 0) }}
  {{- end }}
  {{- $_ := set .authority "uses" (add1 .authority.uses) }}
{{- end }}
