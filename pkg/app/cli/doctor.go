// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// configurationName is that of both webhook configurations and of the
// Deployment, as the chart names them.
const configurationName = "extauth-guard"

// The oldest versions that will do. That of Kubernetes is the chart's, and that of
// the module is the first with pathPrefix and timeout; docs/operations.md says the
// same.
const (
	oldestKubernetes  = "1.33"
	oldestIstioModule = "1.23"
)

// doctor has what checks need.
type doctor struct {
	flags   *checkFlags
	now     func() time.Time
	config  *rest.Config
	typed   kubernetes.Interface
	untyped dynamic.Interface
	// all is there once the cluster was read.
	all *known
}

func newDoctor(flags *checkFlags, now func() time.Time) (*doctor, error) {
	config, err := flags.kube.config()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.WarningHandler = rest.NoWarnings{} // those about the dry runs are not the user's
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &doctor{flags: flags, now: now, config: config, typed: typed, untyped: untyped}, nil
}

func (d *doctor) checkups() []checkup {
	all := []checkup{
		{"kubernetes", "the API server answers and is recent enough", "choose another cluster with --context or --kubeconfig, or start it", true, d.kubernetes},
		{"kyma", "APIRules are served as v2", "enable Kyma's API Gateway module", true, d.served(apirule.Group+"/v2", apirule.Resource)},
		{"kyma", "Istio CRs are served", "enable Kyma's Istio module, " + oldestIstioModule + " or later", true, d.served(istio.Group+"/"+istio.Version, istio.Resource)},
		{"kyma", "the cluster can be read", "ask a cluster administrator for the ClusterRole " + reader + ", which the chart makes", true, d.read},
		{"kyma", "there is an active Istio CR and it is Ready", "correct what the status of the Istio CR says", false, d.istioCR},
		{"kyma", "the mesh configuration has every authorizer", "wait until the Istio module has applied the Istio CR", false, d.mesh},
		{"authorizers", "every authorizer has a ready Service", "start the authorizer, or correct its entry in the Istio CR", false, d.authorizers},
		{"authorizers", "every authorizer has a pathPrefix", "set pathPrefix to \"/verify?original=\"", false, d.openPaths},
		{"authorizers", "no client can send the identity headers that an authorizer sets", "have the ingress gateway refuse requests that bring them, as the bootstrap job does in the authorization-code flow", false, d.identity},
		{"authorizers", "none may be removed while APIRules use it", "remove the annotation " + annotation.AllowRemoval + " from the Istio CR once the authorizer is gone", false, d.removals},
		{"authorizers", "no oauth2-proxy has a known hole that its flags open", "set the image to oauth2-proxy " + oauth2proxy.Version + " or later, or remove the flag", false, d.advisories},
		{"authorizers", "the OIDC issuer offers client credentials", "correct --issuer, or the client at the provider", false, d.issuer},
		{"APIRules", "what they declare holds", "kubectl extauth report says for each host what does not hold, why, and what to do", false, d.verdicts},
	}
	if d.flags.pre {
		return append(all, checkup{"permissions", "you may install", "ask a cluster administrator to install", false, d.mayInstall})
	}
	return append(all,
		checkup{"policies", "ExtAuthPolicies are served", "install the chart with its CustomResourceDefinition, or apply config/crd", false, d.served(v1alpha1.GroupVersion.String(), v1alpha1.Resource)},
		checkup{"webhooks", "both are registered", "install extauth-guard: helm install extauth-guard …", true, d.registered},
		checkup{"webhooks", "two replicas are available", "kubectl -n " + d.flags.installation + " get pods,events", false, d.replicas},
		checkup{"webhooks", "their CA bundles hold for a while", "restart the webhook, which renews its certificates, or look at cert-manager", false, d.bundles},
		checkup{"webhooks", "the served certificate is signed by the bundle and holds for a while", "restart the webhook, which renews its certificates, or look at cert-manager", false, d.servedCertificate},
		checkup{"webhooks", "cert-manager's certificates are ready", "kubectl describe certificate -n " + d.flags.installation, false, d.certManager},
		checkup{"webhooks", "nothing of an earlier version is left", "", false, d.leftOver},
		checkup{"behaviour", "an annotated APIRule comes back injected", "look at the log of the webhook; is the namespace " + d.flags.dryRun + " excluded?", false, d.injects},
		checkup{"behaviour", "an unknown authorizer is refused", "look at the log of the webhook; is the namespace " + d.flags.dryRun + " excluded?", false, d.refuses},
	)
}

func (d *doctor) kubernetes(context.Context) (string, error) {
	info, err := d.typed.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", d.config.Host, err)
	}
	is, err := version.ParseGeneric(info.GitVersion)
	if err != nil {
		return "", warning{fmt.Errorf("the version %q cannot be read", info.GitVersion)}
	}
	if is.LessThan(version.MustParseGeneric(oldestKubernetes)) {
		return "", because("use Kubernetes "+oldestKubernetes+" or later", "it is %s", info.GitVersion)
	}
	return info.GitVersion, nil
}

func (d *doctor) served(groupVersion, resource string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		list, err := d.typed.Discovery().ServerResourcesForGroupVersion(groupVersion)
		if err != nil {
			return "", err
		}
		for _, one := range list.APIResources {
			if one.Name == resource {
				return "", nil
			}
		}
		return "", fmt.Errorf("%s has no %s", groupVersion, resource)
	}
}

func (d *doctor) read(ctx context.Context) (string, error) {
	all := &known{}
	if _, err := all.read(ctx, &d.flags.worldFlags); err != nil {
		return "", err
	}
	d.all = all
	if len(all.gaps) > 0 {
		var kinds []string
		for _, gap := range all.gaps {
			kinds = append(kinds, gap.Kind)
		}
		return "", warning{fmt.Errorf("you may not list %s; what depends on them is not known", strings.Join(kinds, ", "))}
	}
	return count(len(all.world.APIRules()), "APIRule", "APIRules"), nil
}

func (d *doctor) registry() (policy.Registry, error) {
	known := d.all.world.Registry()
	if !known.Known {
		return known, errors.New(known.Reason)
	}
	return known, nil
}

func (d *doctor) istioCR(context.Context) (string, error) {
	known, err := d.registry()
	switch {
	case err != nil && d.unseen(istio.Kind):
		return "", skipping{err}
	case err != nil:
		return "", because("enable Kyma's Istio module; kubectl -n kyma-system get istios shows its CR", "%w", err)
	case known.State == "Warning" || known.State == "Error":
		return "", fmt.Errorf("%s is in the state %s: %s", known.Origin, known.State, known.Description)
	case len(d.all.istios) > 1:
		return "", warning{because("delete all but the oldest Istio CR", "there are %d Istio CRs, and only the oldest counts: %s", len(d.all.istios), known.Origin)}
	case known.State == "":
		return "", warning{because("wait a minute; then look at Kyma's istio manager in the namespace kyma-system", "%s has no status yet", known.Origin)}
	case known.State != "Ready":
		return "", warning{because("wait until the Istio module is done", "%s is in the state %s", known.Origin, known.State)}
	}
	return known.Origin, nil
}

// unseen is true for a kind that could not be read.
func (d *doctor) unseen(kind string) bool {
	return slices.ContainsFunc(d.all.gaps, func(gap cluster.Gap) bool { return gap.Kind == kind })
}

func (d *doctor) mesh(ctx context.Context) (string, error) {
	known, err := d.registry()
	if err != nil {
		return "", skipping{err}
	}
	const where = istio.MeshNamespace + "/" + istio.MeshConfigMap
	raw, err := d.typed.CoreV1().ConfigMaps(istio.MeshNamespace).Get(ctx, istio.MeshConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", skipping{fmt.Errorf("not known: there is no ConfigMap %s, which istiod reads", where)}
	case err != nil:
		return "", skipping{fmt.Errorf("not known: %w", err)}
	}
	if _, err := istio.ParseMesh(raw.Data[istio.MeshKey]); err != nil {
		return "", because("look at the Istio module, which writes it", "the ConfigMap %s cannot be read: %w", where, err)
	}
	var missing []string
	for _, name := range known.Names() {
		if !known.Effective(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("istio-system/istio lacks %s", strings.Join(missing, ", "))
	}
	return strings.Join(known.Names(), ", "), nil
}

// backends returns what is known about the Services of all authorizers, by way
// of an APIRule that names them.
func (d *doctor) backends(ctx context.Context, known policy.Registry) map[string]policy.Backend {
	view := apirule.View{Rules: []apirule.Rule{{Strategy: apirule.ExtAuth, Authorizers: known.Names()}}}
	return facts.Source(d.all.world).Facts(ctx, view).Backends
}

func (d *doctor) authorizers(ctx context.Context) (string, error) {
	known, err := d.registry()
	if err != nil {
		return "", skipping{err}
	}
	if len(known.Names()) == 0 {
		return "", warning{fmt.Errorf("%s registers none; the bootstrap job does", known.Origin)}
	}
	var problems []error
	backends := d.backends(ctx, known)
	for _, name := range known.Names() {
		backend, found := backends[name]
		switch {
		case !found:
			problems = append(problems, fmt.Errorf("%s is not the host of a Service of this cluster", name))
		case !backend.Exists && (d.unseen("Service") || d.unseen("EndpointSlice")):
			return "", skipping{errors.New("not known: you may not list Services and EndpointSlices everywhere")}
		case backend.Fault() != "":
			problems = append(problems, fmt.Errorf("%s: %s", name, backend.Fault()))
		}
	}
	return strings.Join(known.Names(), ", "), errors.Join(problems...)
}

func (d *doctor) openPaths(context.Context) (string, error) {
	known, err := d.registry()
	if err != nil {
		return "", skipping{err}
	}
	var open []string
	for _, name := range known.Names() {
		if entry, _ := known.Authorizer(name); entry.PathPrefix == "" {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return "", warning{fmt.Errorf("%s lacks one: an oauth2-proxy then answers its own paths of every protected host for everybody", strings.Join(open, ", "))}
	}
	return "", nil
}

func (d *doctor) issuer(ctx context.Context) (string, error) {
	if d.flags.issuer == "" {
		return "", skipping{errors.New("no --issuer was given")}
	}
	var options oidc.HTTPOptions
	if d.flags.issuerCA != "" {
		raw, err := os.ReadFile(d.flags.issuerCA)
		if err != nil {
			return "", fmt.Errorf("reading --issuer-ca-file: %w", err)
		}
		options.CA = raw
	}
	client, err := oidc.NewHTTPClient(options)
	if err != nil {
		return "", err
	}
	found, err := oidc.Discover(ctx, client, d.flags.issuer)
	if err != nil {
		return "", err
	}
	return found.TokenEndpoint, found.CheckClientCredentials()
}

// mayInstall asks for what the chart creates beyond a namespace.
func (d *doctor) mayInstall(ctx context.Context) (string, error) {
	var missing []string
	for _, one := range []authorizationv1.ResourceAttributes{
		{Verb: "create", Resource: "namespaces"},
		{Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: d.flags.installation},
		{Verb: "patch", Group: istio.Group, Resource: istio.Resource, Namespace: istio.Namespace},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &one}}
		answer, err := d.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return "", fmt.Errorf("asking for permissions: %w", err)
		}
		if !answer.Status.Allowed {
			missing = append(missing, strings.TrimSuffix(one.Verb+" "+one.Resource+"."+one.Group, "."))
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("you may not %s", strings.Join(missing, ", "))
	}
	return "", nil
}

func (d *doctor) certManager(ctx context.Context) (string, error) {
	resource := cmv1.SchemeGroupVersion.WithResource("certificates")
	list, err := d.untyped.Resource(resource).Namespace(d.flags.installation).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", skipping{errors.New("cert-manager is not installed")}
	case err != nil:
		return "", fmt.Errorf("listing certificates: %w", err)
	case len(list.Items) == 0:
		return "", skipping{errors.New("certificates are not cert-manager's")}
	}
	for _, item := range list.Items {
		var certificate cmv1.Certificate
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &certificate); err != nil {
			return "", fmt.Errorf("reading the Certificate %s: %w", item.GetName(), err)
		}
		if err := ready(certificate); err != nil {
			return "", err
		}
	}
	return count(len(list.Items), "certificate", "certificates"), nil
}

func ready(certificate cmv1.Certificate) error {
	for _, condition := range certificate.Status.Conditions {
		if condition.Type == cmv1.CertificateConditionReady {
			if condition.Status == cmmeta.ConditionTrue {
				return nil
			}
			return fmt.Errorf("%s is not ready: %s: %s", certificate.Name, condition.Reason, condition.Message)
		}
	}
	return fmt.Errorf("%s is not ready yet", certificate.Name)
}

func (d *doctor) replicas(ctx context.Context) (string, error) {
	deployment, err := d.typed.AppsV1().Deployments(d.flags.installation).Get(ctx, configurationName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", warning{because("name the namespace of the installation with -n", "there is no Deployment %s/%s; the webhook runs elsewhere", d.flags.installation, configurationName)}
	case err != nil:
		return "", err
	}
	wanted, available := ptr.Deref(deployment.Spec.Replicas, 1), deployment.Status.AvailableReplicas
	have := fmt.Sprintf("%d of %d replicas available", available, wanted)
	switch {
	case wanted == 0:
		return "", because("kubectl -n "+d.flags.installation+" scale deployment/"+configurationName+" --replicas=2", "%s: somebody scaled it down", have)
	case available == 0:
		return "", d.stuck(ctx, have)
	case available == 1:
		return "", warning{because("set replicas to 2, or look at the Pods in the namespace "+d.flags.installation, "%s: APIRules cannot be written while it restarts", have)}
	}
	return have, nil
}

// stuck says why no replica is available, by what its Pods wait for.
func (d *doctor) stuck(ctx context.Context, have string) error {
	look := "kubectl -n " + d.flags.installation + " get pods,events"
	pods, err := d.typed.CoreV1().Pods(d.flags.installation).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=webhook"})
	if err != nil {
		return because(look, "%s; %w", have, err)
	}
	if len(pods.Items) == 0 {
		return because("kubectl -n "+d.flags.installation+" get replicasets,events", "%s: there are no Pods", have)
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			if err := d.waits(pod.Name, container); err != nil {
				return fmt.Errorf("%s: %w", have, err)
			}
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
				return because("make room on a node, or change nodeSelector and tolerations", "%s: the Pod %s has no node: %s", have, pod.Name, condition.Message)
			}
		}
	}
	return because(look, "%s: its Pods have started and are not ready", have)
}

// leftOver looks for the job of earlier versions that removed the webhook
// configurations, for whoever applied it without Helm.
func (d *doctor) leftOver(ctx context.Context) (string, error) {
	const name = "extauth-guard-unregister"
	_, err := d.typed.BatchV1().Jobs(d.flags.installation).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", skipping{fmt.Errorf("not known: %w", err)}
	}
	return "", because("kubectl -n "+d.flags.installation+" delete job,serviceaccount "+name+"; kubectl delete clusterrole,clusterrolebinding "+name,
		"the Job %s/%s removes the webhook configurations whenever it runs", d.flags.installation, name)
}

// waits says what keeps a container from running, or nil.
func (d *doctor) waits(pod string, container corev1.ContainerStatus) error {
	if container.State.Waiting == nil {
		return nil
	}
	switch waiting := container.State.Waiting; waiting.Reason {
	case "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName":
		return because("set image.repository and image.tag to an image that the nodes can pull, and image.pullSecrets", "the image %s cannot be pulled: %s", container.Image, waiting.Message)
	case "CrashLoopBackOff":
		return because("kubectl -n "+d.flags.installation+" logs "+pod+" --previous ends with the reason", "the Pod %s stops by itself, again and again", pod)
	case "CreateContainerConfigError":
		return because("helm upgrade brings back what the chart made", "the Pod %s lacks something: %s", pod, waiting.Message)
	}
	return nil
}

// probe is an APIRule that nobody will ever store.
func (d *doctor) probe(rule, annotations map[string]any) *unstructured.Unstructured {
	rule["path"], rule["methods"] = "/*", []any{"GET"}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apirule.Group + "/v2", "kind": apirule.Kind,
		"metadata": map[string]any{"generateName": "extauth-check-", "namespace": d.flags.dryRun, "annotations": annotations},
		"spec": map[string]any{
			"hosts": []any{"extauth-check.example.com"}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": "extauth-check", "port": int64(80)}, "rules": []any{rule},
		},
	}}
}

func (d *doctor) dryRun(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource := schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}
	return d.untyped.Resource(resource).Namespace(d.flags.dryRun).Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

func (d *doctor) injects(ctx context.Context) (string, error) {
	known, err := d.registry()
	if err != nil || len(known.Names()) == 0 {
		return "", skipping{errors.New("no authorizer is registered that could be injected")}
	}
	name := known.Names()[0]
	stored, err := d.dryRun(ctx, d.probe(map[string]any{}, map[string]any{annotation.Authorizers: name}))
	if err != nil {
		return "", d.notAnswered(err)
	}
	view := apirule.Parse(stored.Object, "")
	if len(view.Rules) != 1 || len(view.Rules[0].Authorizers) != 1 || view.Rules[0].Authorizers[0] != name {
		return "", errors.New("it came back as it was")
	}
	return name, nil
}

func (d *doctor) refuses(ctx context.Context) (string, error) {
	if _, err := d.registry(); err != nil {
		// The answer would be to try again later, which the client does, for long.
		return "", skipping{fmt.Errorf("not tried, because the registered authorizers are unknown: %w", err)}
	}
	const unknown = "extauth-check-unknown"
	rule := map[string]any{"extAuth": map[string]any{"authorizers": []any{unknown}}}
	_, err := d.dryRun(ctx, d.probe(rule, nil))
	switch {
	case err == nil:
		return "", errors.New("it was admitted")
	case strings.Contains(err.Error(), string(policy.AuthorizerNotRegistered)), strings.Contains(err.Error(), string(policy.RegistryUnknown)):
		return "", nil
	}
	return "", d.notAnswered(err)
}

// notAnswered says why a dry run ended otherwise than a webhook would have it.
func (d *doctor) notAnswered(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "failed calling webhook"):
		return because(d.notCalled(text), "%w", err)
	case strings.Contains(text, "must be set"):
		return because("nobody injected: the mutating webhook was not called, or did not answer; see the checks of the webhooks above", "%w", err)
	case apierrors.IsForbidden(err):
		return skipping{fmt.Errorf("you may not create APIRules in the namespace %s; name another one with --dry-run-namespace", d.flags.dryRun)}
	case apierrors.IsNotFound(err):
		return because("name a namespace with --dry-run-namespace", "%w", err)
	}
	return fmt.Errorf("it was refused for another reason: %w", err)
}

// notCalled returns what to do when the API server could not call a webhook, by the
// reason that it gives. The first that fits counts.
func (d *doctor) notCalled(reason string) string {
	pods := "kubectl -n " + d.flags.installation + " get pods,events"
	for _, one := range []struct{ says, hint string }{
		{"x509", "the CA bundle and the certificate do not belong together: restart the webhook, or look at cert-manager's cainjector"},
		{"no endpoints available", "no replica is ready: " + pods},
		{"connection refused", "nobody listens where the API server asks: " + pods},
		{"not found", "helm upgrade brings the Service back"},
		{"certificate", "apiServerCertificate asks the API server for a certificate that it does not show"},
		{"deadline", "the API server cannot reach the Pods: let it through on port 9443, in the NetworkPolicy (networkPolicy.apiServerCIDRs) and in the cloud's firewall"},
	} {
		if strings.Contains(reason, one.says) {
			return one.hint
		}
	}
	return pods
}
