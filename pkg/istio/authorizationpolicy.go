// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// kymaOwner begins the labels by which Kyma says of which APIRule it made an object.
const kymaOwner = "apirule.gateway.kyma-project.io/"

// AuthorizationPolicy is what this project needs of an AuthorizationPolicy, whoever
// wrote it.
type AuthorizationPolicy struct {
	// Provider is the extension provider of a policy with the action CUSTOM; "" for
	// every other policy.
	Provider string
	// Selector selects the Pods: those of the namespace, and for a policy in
	// [MeshNamespace] those of every namespace. Nil selects all.
	Selector map[string]string
	// Detached is true for a policy that acts on no sidecar: it has a targetRef, or a
	// selector that cannot be read (Istio pilot, model/policyattachment.go).
	Detached bool
	// Kyma is true if Kyma made it of an APIRule, and Owner is this APIRule; its name is ""
	// where the labels do not say it (Kyma api-gateway before 3.5).
	Kyma  bool
	Owner types.NamespacedName
	// Restricts is true if it keeps out everybody whom neither it nor another policy with the
	// action ALLOW lets in (istio.io, reference of the AuthorizationPolicy).
	Restricts bool
	// Allows is what it lets in of what Kyma's ingress gateway passes on, without a token;
	// nil if that is nothing.
	Allows []Allow
}

// Asks is true if sidecars ask the provider because of the policy.
func (p AuthorizationPolicy) Asks() bool {
	return p.Provider != "" && !p.Detached
}

// ParseAuthorizationPolicy reads an AuthorizationPolicy. It never fails.
func ParseAuthorizationPolicy(object map[string]any) AuthorizationPolicy {
	spec, _ := object["spec"].(map[string]any)
	var parsed AuthorizationPolicy
	if spec["action"] == "CUSTOM" {
		provider, _ := spec["provider"].(map[string]any)
		parsed.Provider = text(provider, "name")
	}
	labels := annotation.LabelsOf(object)
	parsed.Kyma = MadeByKyma(object)
	parsed.Owner = types.NamespacedName{Namespace: labels[kymaOwner+"namespace"], Name: labels[kymaOwner+"name"]}
	refs, _ := spec["targetRefs"].([]any)
	selector, readable := selectorAt(spec)
	parsed.Selector, parsed.Detached = selector, len(refs) > 0 || spec["targetRef"] != nil || !readable
	if allows(spec) && !parsed.Detached && !dryRun(object) {
		parsed.Restricts = true
		metadata, _ := object["metadata"].(map[string]any)
		parsed.Allows = allowsOf(spec, text(metadata, "namespace"))
	}
	return parsed
}

// MadeByKyma is true for an object that Kyma made of an APIRule, as its labels say.
func MadeByKyma(object map[string]any) bool {
	for label := range annotation.LabelsOf(object) {
		if strings.HasPrefix(label, kymaOwner) {
			return true
		}
	}
	return false
}

// selectorAt returns the labels that spec.selector names. It is false if there is
// something else than labels in it.
func selectorAt(spec map[string]any) (map[string]string, bool) {
	if spec["selector"] == nil {
		return nil, true
	}
	selector, ok := spec["selector"].(map[string]any)
	if !ok || selector["matchLabels"] == nil {
		return nil, ok
	}
	labels, ok := selector["matchLabels"].(map[string]any)
	if !ok || len(labels) == 0 {
		return nil, ok
	}
	of := make(map[string]string, len(labels))
	for key, value := range labels {
		of[key], ok = value.(string)
		if !ok {
			return nil, false
		}
	}
	return of, true
}
