{{- define "penstock.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "penstock.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "penstock.secret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "penstock.name" .)) }}
{{- end }}

{{- define "penstock.configuration" -}}
{{- if not .Values.configuration }}
{{- fail "set `configuration` to what penstock.yaml is to say: values.yaml has an example" }}
{{- end }}
{{- $admin := dict "address" "0.0.0.0:9900" "token" "${PENSTOCK_ADMIN_TOKEN}" "read_token" "${PENSTOCK_READ_TOKEN}" -}}
{{- merge (dict "admin" $admin) .Values.configuration | toYaml }}
{{- end }}
