{{/* What Pod Security "restricted" asks of a Pod, and more: nobody here writes to the image's file system. */}}
{{- define "extauth-guard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "extauth-guard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Keeps the sidecar out: behind strict mTLS the API server cannot reach a webhook, and a Job with a sidecar may never end. */}}
{{- define "extauth-guard.noSidecar" -}}
sidecar.istio.io/inject: "false"
{{- end -}}

{{/* Nine tenths of a memory limit, as Go reads it. A quantity in another unit gives the whole limit, which the kubelet knows in bytes. */}}
{{- define "extauth-guard.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" . | toString -}}
{{- if regexMatch "^[0-9]+Gi$" $limit }}
- name: GOMEMLIMIT
  value: {{ div (mul (trimSuffix "Gi" $limit | atoi) 1024 9) 10 }}MiB
{{- else if regexMatch "^[0-9]+Mi$" $limit }}
- name: GOMEMLIMIT
  value: {{ div (mul (trimSuffix "Mi" $limit | atoi) 9) 10 }}MiB
{{- else if $limit }}
- name: GOMEMLIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
{{- end }}
{{- end -}}

{{/* The Pod of a hook: our image, one command, the least there is. Takes root, component, account, command, resources (may be absent). */}}
{{- define "extauth-guard.hookPod" -}}
metadata:
  labels:
    {{- include "extauth-guard.labels" . | nindent 4 }}
    {{- include "extauth-guard.noSidecar" . | nindent 4 }}
spec:
  {{- include "extauth-guard.hookPodSpec" . | nindent 2 }}
{{- end -}}

{{- define "extauth-guard.hookPodSpec" -}}
serviceAccountName: {{ .account }}
restartPolicy: Never
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "extauth-guard.podSecurity" . | nindent 2 }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "extauth-guard.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command:
      {{- toYaml .command | nindent 6 }}
    resources:
      {{- toYaml (.resources | default (dict "requests" (dict "cpu" "10m" "memory" "32Mi") "limits" (dict "memory" "64Mi"))) | nindent 6 }}
    securityContext:
      {{- include "extauth-guard.containerSecurity" . | nindent 6 }}
{{- end -}}

{{/* Annotations of a hook's object: the last run's objects go before the next run, and after success nothing is left. Without hooks there are none. */}}
{{- define "extauth-guard.hook" -}}
{{- if .root.Values.hooks.enabled -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
{{- end -}}
