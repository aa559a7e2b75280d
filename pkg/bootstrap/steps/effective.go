// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// effective waits until the mesh knows the authorizer. Registered in the CR is
// not enough: until then Kyma reports an Error for every APIRule that names it,
// and looks again only after up to a quarter of an hour.
type effective struct{ Environment }

// Name is "effective".
func (*effective) Name() string { return "effective" }

// Observe looks into the mesh configuration, and if that lacks the authorizer
// asks the Istio CR why.
func (e *effective) Observe(ctx context.Context) (bootstrap.Observation, error) {
	name := e.Config.Authorizer.Name
	http, found, err := e.provider(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case found && http:
		return done("InMesh", "the mesh knows %q", name), nil
	case found:
		return blocked("NotHTTP", "the mesh has a provider %q that is no HTTP authorizer; the name is taken by a built-in one, set another authorizer.name", name), nil
	}
	_, view, _, err := e.activeIstio(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case view.State == "Warning" || view.State == "Error":
		return blocked("IstioCR", "Istio CR %s is in state %s and says: %s; until that is solved the mesh will not know %q",
			view.NamespacedName(), view.State, view.Description, name), nil
	}
	return needed("Waiting", "the mesh configuration does not list %q yet (Istio CR %s is %s)", name, view.NamespacedName(), stateOf(view)), nil
}

// Apply waits; there is nothing to do but that.
func (e *effective) Apply(ctx context.Context) error {
	return bootstrap.Poll(ctx, e.Clock, e.Poll, func(ctx context.Context) (string, error) {
		seen, err := e.Observe(ctx)
		switch {
		case err != nil:
			return "", err
		case seen.State == bootstrap.Needed:
			return "waiting for Kyma's Istio module: " + seen.Message, nil
		}
		return "", nil
	})
}

// provider looks for the authorizer among the mesh's extension providers.
func (e *effective) provider(ctx context.Context) (http, found bool, err error) {
	key := client.ObjectKey{Namespace: istio.MeshNamespace, Name: istio.MeshConfigMap}
	var configMap corev1.ConfigMap
	err = e.Client.Get(ctx, key, &configMap)
	switch {
	case apierrors.IsNotFound(err):
		return false, false, nil
	case err != nil:
		return false, false, fmt.Errorf("reading ConfigMap %s: %w", key, err)
	}
	mesh, err := istio.ParseMesh(configMap.Data[istio.MeshKey])
	if err != nil {
		return false, false, err
	}
	http, found = mesh.Providers[e.Config.Authorizer.Name]
	return http, found, nil
}

func stateOf(view istio.View) string {
	if view.State == "" {
		return "without a state"
	}
	return view.State
}
