{{/* Start of all names: the name of the ClusterClass, so that each release has templates of its own. */}}
{{- define "class.name" -}}
{{ .Release.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* How a node registers, the same for every Machine. */}}
{{- define "class.nodeRegistration" -}}
kubeletExtraArgs:
{{- range $name, $value := .Values.kubeletExtraArgs }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
