{{- define "lib.configmap" -}}
{{- $top := first . -}}
{{- $base := fromYaml (include "lib.base" $top) | default dict -}}
{{- $over := fromYaml (include (index . 1) $top) | default dict -}}
{{- toYaml (merge $over $base) -}}
{{- end -}}
{{- define "lib.base" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-base
  labels:
    from: library
data:
  a: base
  b: base
{{- end -}}
