// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package steps holds the steps of the bootstrap job, one in each file.
//
// Together they lead from an issuer's URL and a Secret to "no token: 401, a
// client-credentials token: 200". Their order has a reason: an authorizer is
// registered only after its backend answers, because istiod denies every request
// that names an authorizer it cannot resolve. Foreign objects are never adopted,
// and no step puts a secret anywhere but into the one Secret that the job writes.
package steps

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/helm"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// Owner marks what the job made: Helm releases by a label of Helm's own, and
// other objects by the label app.kubernetes.io/managed-by.
const Owner = "extauth-guard-bootstrap"

// managedBy is the label of Kubernetes' recommended set that carries Owner.
const managedBy = "app.kubernetes.io/managed-by"

// proxyPort is the port of the proxy's Service (oauth2-proxy chart 10.7.0).
const proxyPort = 80

// The kinds that are read and written unstructured.

func istioGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: istio.Group, Version: istio.Version, Kind: istio.Kind}
}

func apiRuleGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "gateway.kyma-project.io", Version: "v2", Kind: "APIRule"}
}

func gatewayGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1beta1", Kind: "Gateway"}
}

// authorizationPolicyGVK has the version that Kyma's API Gateway writes (Kyma
// api-gateway 3.10, creator.go).
func authorizationPolicyGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "security.istio.io", Version: "v1beta1", Kind: "AuthorizationPolicy"}
}

func virtualServiceGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1beta1", Kind: "VirtualService"}
}

// Environment is everything that the steps act on and act by.
type Environment struct {
	// Config must be valid.
	Config config.BootstrapConfig
	// Client reads without a cache: a step has to see what it just wrote.
	Client client.Client
	// Kubernetes reads the logs of Pods that do not start.
	Kubernetes kubernetes.Interface
	// Helm installs into the proxy's namespace.
	Helm *helm.Client
	// Charts fetches the chart.
	Charts helm.Fetcher
	// Issuer talks to the OpenID Connect issuer.
	Issuer *http.Client
	// Dial connects to the proxy's Service by its DNS name; nil means the
	// network. Outside of a cluster it has to find another way there.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Clock tells the time and waits.
	Clock clock.Clock
	// Poll is the time between two looks at something that is waited for.
	Poll time.Duration
}

// step is one of the job's steps with what it has to be allowed to do.
type step interface {
	bootstrap.Step
	// Needs are the permissions of Observe and Apply.
	Needs() []Permission
}

// undoer is a step that an uninstall takes back.
type undoer interface {
	step
	bootstrap.Undoer
	// UndoNeeds are the permissions of ObserveUndo and Undo.
	UndoNeeds() []Permission
}

// list returns every step there is, in order.
func list(env Environment) []step {
	var (
		secret = &credentials{env}
		proxy  = &proxy{Environment: env}
		host   = &callback{env}
		entry  = &authorizer{env}
	)
	first := &preflight{Environment: env, later: []bootstrap.Step{secret, proxy, entry}}
	if env.wants(host) {
		first.later = append(first.later, host)
	}
	return []step{
		first, &namespace{env}, secret, proxy, host, entry, &effective{env}, &verify{Environment: env}, &selfCheck{env},
	}
}

// wants says whether a run with this configuration takes a step.
func (e Environment) wants(s step) bool {
	switch s.(type) {
	case *callback:
		return e.Config.Flow == config.FlowAuthorizationCode
	case *selfCheck:
		return e.Config.SelfCheck.Enabled
	}
	return true
}

// New returns the steps of a run, in order. What only the other flow needs, and an
// earlier run may have left, is undone in its place.
func New(env Environment) []bootstrap.Step {
	var steps []bootstrap.Step
	for _, each := range list(env) {
		undo, undoable := each.(undoer)
		switch {
		case env.wants(each):
			steps = append(steps, each)
		case undoable:
			steps = append(steps, bootstrap.Reverse([]bootstrap.Step{undo})...)
		}
	}
	return steps
}

// Uninstall returns the steps that undo a run of either flow, in their order.
func Uninstall(env Environment) []bootstrap.Step {
	var steps []bootstrap.Step
	for _, each := range list(env) {
		steps = append(steps, each)
	}
	return bootstrap.Reverse(steps)
}

// serviceHost is the proxy's Service as Istio knows it; short names resolve to
// nothing there.
func (e Environment) serviceHost() string {
	return fmt.Sprintf("%s.%s.svc.cluster.local", e.Config.Proxy.Release, e.Config.Proxy.Namespace)
}

// key returns the name of an object in the proxy's namespace.
func (e Environment) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: e.Config.Proxy.Namespace, Name: name}
}

// activeIstio returns the Istio CR that Kyma reconciles, whole and as a view, and
// how many others there are in its namespace.
func (e Environment) activeIstio(ctx context.Context) (*unstructured.Unstructured, istio.View, int, error) {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(istioGVK())
	if err := e.Client.List(ctx, &list, client.InNamespace(istio.Namespace)); err != nil {
		return nil, istio.View{}, 0, fmt.Errorf("listing the Istio CRs: %w", err)
	}
	views := make([]istio.View, 0, len(list.Items))
	for _, item := range list.Items {
		views = append(views, istio.Parse(item.Object))
	}
	active, ok := istio.Active(views)
	if !ok {
		return nil, istio.View{}, 0, nil
	}
	for i := range list.Items {
		if list.Items[i].GetName() == active.Name {
			return &list.Items[i], active, len(list.Items) - 1, nil
		}
	}
	return nil, istio.View{}, 0, nil
}

func ours(object client.Object) bool { return object.GetLabels()[managedBy] == Owner }

func done(reason, format string, args ...any) bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Done, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func needed(reason, format string, args ...any) bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Needed, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func blocked(reason, format string, args ...any) bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Blocked, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func newObject(gvk schema.GroupVersionKind, key client.ObjectKey) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	return object
}

// data returns one value of a Secret without the line break that `echo` leaves
// at the end of a file.
func data(secret *corev1.Secret, key string) string {
	return trimLineBreak(string(secret.Data[key]))
}

func trimLineBreak(value string) string {
	for len(value) > 0 && (value[len(value)-1] == '\n' || value[len(value)-1] == '\r') {
		value = value[:len(value)-1]
	}
	return value
}
