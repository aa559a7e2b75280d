{{/* The name of everything. It is fixed: there is one installation in a cluster, because webhook configurations are the cluster's, and their names are known to the code. */}}
{{- define "extauth-guard.name" -}}extauth-guard{{- end -}}

{{- define "extauth-guard.selectorLabels" -}}
app.kubernetes.io/name: extauth-guard
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. The chart's version is left out of Pods' selectors. */}}
{{- define "extauth-guard.labels" -}}
{{ include "extauth-guard.selectorLabels" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: extauth-guard
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "extauth-guard.image" -}}
{{- $image := .Values.image -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* The namespaces that are left alone besides those of the system, sorted: this release's, the proxy's where the job installs it, and the user's. Somebody else could make a namespace by that name. */}}
{{- define "extauth-guard.excludedNamespaces" -}}
{{- $all := concat (list .Release.Namespace) (ternary (list .Values.bootstrap.config.proxy.namespace) list .Values.bootstrap.enabled) .Values.webhooks.excludedNamespaces -}}
{{- $all | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* "true" where the API server itself keeps the promises; backstop is the former name. */}}
{{- define "extauth-guard.guarantee" -}}
{{- if or .Values.guarantee.enabled .Values.backstop.enabled }}true{{ end -}}
{{- end -}}

{{- define "extauth-guard.failurePolicy" -}}
{{- .Values.webhooks.failurePolicy | default (ternary "Ignore" "Fail" (eq (include "extauth-guard.guarantee" .) "true")) -}}
{{- end -}}

{{/* Which namespaces are looked at: all but those given and those that are left alone, as far as webhooks.namespaceSelector selects them. */}}
{{- define "extauth-guard.namespaceSelector" -}}
{{- $excluded := concat .system (include "extauth-guard.excludedNamespaces" .root | fromJsonArray) -}}
{{- $not := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" ($excluded | uniq | sortAlpha) -}}
{{- $more := .root.Values.webhooks.namespaceSelector -}}
{{- $selector := dict "matchExpressions" (prepend ($more.matchExpressions | default list) $not) -}}
{{- with $more.matchLabels }}
{{- $_ := set $selector "matchLabels" . }}
{{- end -}}
{{- toJson $selector -}}
{{- end -}}

{{/* The bootstrap job's configuration: the user's Secret is in our namespace unless somebody says otherwise. */}}
{{- define "extauth-guard.bootstrapConfig" -}}
{{- $config := deepCopy .Values.bootstrap.config -}}
{{- $_ := set $config.credentials "namespace" (.Values.bootstrap.config.credentials.namespace | default .Release.Namespace) -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "extauth-guard.credentialsNamespace" -}}
{{- .Values.bootstrap.config.credentials.namespace | default .Release.Namespace -}}
{{- end -}}
