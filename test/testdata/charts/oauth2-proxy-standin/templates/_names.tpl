{{- define "standin.selector" -}}
app: oauth2-proxy
app.kubernetes.io/name: oauth2-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
