{{/* What cannot work is refused before anything is installed, with a sentence that says what to do. */}}
{{- define "extauth-guard.refusals" -}}
{{- $v := .Values -}}
{{- if and (eq .Chart.AppVersion "0.0.0") (not $v.image.tag) (not $v.image.digest) -}}
{{- fail (printf "this chart is a checkout: its version is 0.0.0, and %s:0.0.0 does not exist. Install a release (helm install extauth-guard oci://ghcr.io/extauth-guard/charts/extauth-guard), or build and install this checkout with make install-dev, or set image.repository and image.tag to an image that the nodes can pull" $v.image.repository) -}}
{{- end -}}
{{- if and $v.podDisruptionBudget.enabled (le (int $v.replicas) (int $v.podDisruptionBudget.minAvailable)) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %d of %d replicas, so no node with one of them could ever be drained: set replicas to at least %d, or podDisruptionBudget.enabled to false" (int $v.podDisruptionBudget.minAvailable) (int $v.replicas) (add1 (int $v.podDisruptionBudget.minAvailable))) -}}
{{- end -}}
{{- if and (eq $v.certificates.mode "cert-manager") (not (.Capabilities.APIVersions.Has "cert-manager.io/v1")) -}}
{{- fail "certificates.mode is cert-manager, but the cluster does not serve cert-manager.io/v1: install cert-manager first, or set certificates.mode to self (helm template has to be told: --api-versions cert-manager.io/v1)" -}}
{{- end -}}
{{- if and (include "extauth-guard.guarantee" .) (not $v.controllers.audit.enabled) -}}
{{- fail "guarantee.enabled needs controllers.audit.enabled, because the audit writes into the status of each ExtAuthPolicy what the API server's policies have to know: set it to true" -}}
{{- end -}}
{{- if and (include "extauth-guard.guarantee" .) (not $v.crds.install) (not (.Capabilities.APIVersions.Has "extauth-guard.io/v1alpha1")) -}}
{{- fail "guarantee.enabled needs the CRD of ExtAuthPolicy, without which the API server refuses every APIRule, but crds.install is false and the cluster does not serve extauth-guard.io/v1alpha1: install it from config/crd first, or set crds.install to true (helm template has to be told: --api-versions extauth-guard.io/v1alpha1)" -}}
{{- end -}}
{{- $issuer := $v.certificates.certManager.issuerRef -}}
{{- if and $issuer (not $issuer.name) -}}
{{- fail "certificates.certManager.issuerRef has no name: name the issuer, or leave issuerRef empty to get one" -}}
{{- end -}}
{{- if and $v.monitoring.prometheusRule.enabled (not $v.monitoring.serviceMonitor.enabled) -}}
{{- fail "monitoring.prometheusRule is enabled, but monitoring.serviceMonitor is not, so that Prometheus would not scrape the webhook and the alert ExtAuthGuardDown would fire for ever: set monitoring.serviceMonitor.enabled to true" -}}
{{- end -}}
{{- $needed := list -}}
{{- if $v.monitoring.serviceMonitor.enabled }}{{ $needed = append $needed "monitoring.serviceMonitor" }}{{ end -}}
{{- if $v.monitoring.prometheusRule.enabled }}{{ $needed = append $needed "monitoring.prometheusRule" }}{{ end -}}
{{- if and $needed (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail (printf "%s is enabled, but the cluster does not serve monitoring.coreos.com/v1: install the Prometheus operator first, or set enabled to false (helm template has to be told: --api-versions monitoring.coreos.com/v1)" (join " and " $needed)) -}}
{{- end -}}
{{- if has $v.tests.namespace (concat (list "istio-system" "kube-node-lease" "kube-public" "kube-system" "kyma-system") (include "extauth-guard.excludedNamespaces" . | fromJsonArray)) -}}
{{- fail (printf "tests.namespace is %s, which the webhooks leave alone, so a test there would always fail: name a namespace that they look at" $v.tests.namespace) -}}
{{- end -}}
{{- if $v.bootstrap.enabled -}}
{{- include "extauth-guard.bootstrapRefusals" . -}}
{{- end -}}
{{- end -}}

{{- define "extauth-guard.bootstrapRefusals" -}}
{{- $c := .Values.bootstrap.config -}}
{{- $missing := list -}}
{{- if not $c.issuer.url }}{{ $missing = append $missing "bootstrap.config.issuer.url (the OpenID Connect issuer)" }}{{ end -}}
{{- if not $c.credentials.name }}{{ $missing = append $missing "bootstrap.config.credentials.name (the Secret with client-id and client-secret, which you make)" }}{{ end -}}
{{- if and (not $c.proxy.chart.digest) (regexMatch "^(https?|oci)://" $c.proxy.chart.repository) }}{{ $missing = append $missing "bootstrap.config.proxy.chart.digest (sha256: and what sha256sum prints for the archive that helm pull fetched)" }}{{ end -}}
{{- if and (eq $c.flow "AuthorizationCode") (not $c.proxy.emailDomains) }}{{ $missing = append $missing "bootstrap.config.proxy.emailDomains (who may log in; [\"*\"] is everybody whom the issuer lets in)" }}{{ end -}}
{{- if $missing -}}
{{- fail (printf "bootstrap.enabled needs %s" (join ", " $missing)) -}}
{{- end -}}
{{- if eq $c.proxy.namespace .Release.Namespace -}}
{{- fail (printf "bootstrap.config.proxy.namespace is %s, the namespace of this release: give the proxy one of its own, because its namespace is part of the mesh and this one must not be" .Release.Namespace) -}}
{{- end -}}
{{- end -}}
