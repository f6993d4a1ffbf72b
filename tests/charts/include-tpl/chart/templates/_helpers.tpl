{{/* The name */}}
{{- define "include-tpl.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "include-tpl.labels" }}
app.kubernetes.io/name: {{ include "include-tpl.name" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "include-tpl.count" -}}
{{- if gt (int .n) 0 -}}
{{ .n }},{{ include "include-tpl.count" (dict "n" (sub .n 1)) }}
{{- end -}}
{{- end -}}

{{- define "redefined" }}first{{ end -}}
