{{- define "two.helper" }}{{ .Chart.Name }} has {{ .Values.size }}{{ end }}
