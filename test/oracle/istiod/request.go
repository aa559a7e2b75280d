// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	rbacpb "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	extauthz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/security/authz/builder"
	"istio.io/istio/pilot/pkg/security/trustdomain"
	"istio.io/istio/pkg/config/labels"
)

// request is one that arrives at a Pod.
type request struct {
	// Pod is namespace/name.
	Pod string `json:"pod"`
	// Host is the header Host, perhaps with a port; Path is without the query.
	Host, Method, Path string
	// Headers have names in lower case.
	Headers map[string]string
	// Principal is the caller's identity, without spiffe://.
	Principal string
	// Claims are those of a JWT that the Pod's sidecar took as valid.
	Claims map[string]string
}

// outcome is what the filters of the Pod make of a request.
type outcome struct {
	// Asked are the CUSTOM policies' providers that are asked, in the order of filters.
	Asked []string `json:"asked,omitempty"`
	// Denied says which kind of filter denies the request: custom, deny or allow; "" if
	// none does.
	Denied string `json:"denied,omitempty"`
}

// answer evaluates the filters that istiod builds for the Pod of a request.
func (c cluster) answer(to request) (outcome, error) {
	i := slices.IndexFunc(c.pods, func(of object) bool { return of.Metadata.Namespace+"/"+of.Metadata.Name == to.Pod })
	if i < 0 {
		return outcome{}, fmt.Errorf("the Pod %s does not exist", to.Pod)
	}
	of := c.pods[i].Metadata
	attached := c.push.AuthzPolicies.ListAuthorizationPolicies(
		model.PolicyMatcherFor(of.Namespace, labels.Instance(of.Labels), false).WithRootNamespace(c.push.AuthzPolicies.RootNamespace))
	var said outcome
	recorded := map[string]string{}
	for _, custom := range []bool{true, false} {
		built := builder.New(trustdomain.NewBundle("cluster.local", nil), c.push, attached, builder.Option{IsCustomBuilder: custom})
		if built == nil {
			continue
		}
		for _, filter := range built.BuildHTTP() {
			if err := said.pass(filter, to, custom, recorded); err != nil {
				return outcome{}, err
			}
			if said.Denied != "" {
				return said, nil
			}
		}
	}
	return said, nil
}

// pass evaluates one filter. recorded is the dynamic metadata that filters leave to later ones.
func (o *outcome) pass(filter *hcm.HttpFilter, to request, custom bool, recorded map[string]string) error {
	message, err := filter.GetTypedConfig().UnmarshalNew()
	if err != nil {
		return fmt.Errorf("decoding the filter %s: %w", filter.Name, err)
	}
	switch config := message.(type) {
	case *rbachttp.RBAC:
		return o.access(config, to, custom, recorded)
	case *extauthz.ExtAuthz:
		enabled := config.GetFilterEnabledMetadata()
		key := enabled.GetPath()[0].GetKey()
		fits, err := text(enabled.GetValue().GetStringMatch(), recorded[key])
		if err == nil && fits {
			o.Asked = append(o.Asked, strings.TrimPrefix(enabled.GetValue().GetStringMatch().GetPrefix(), "istio-ext-authz-"))
		}
		return err
	default:
		return fmt.Errorf("the filter %s has the type %T, which is not known here", filter.Name, message)
	}
}

// access evaluates the rules of an RBAC filter, and records which policy of the shadow rules fits.
func (o *outcome) access(config *rbachttp.RBAC, to request, custom bool, recorded map[string]string) error {
	if shadow := config.GetShadowRules(); shadow != nil {
		fitting, err := first(shadow, to)
		if err != nil {
			return err
		}
		recorded[config.GetShadowRulesStatPrefix()+"shadow_effective_policy_id"] = fitting
	}
	rules := config.GetRules()
	if rules == nil {
		return nil
	}
	fitting, err := first(rules, to)
	switch {
	case err != nil:
		return err
	case rules.GetAction() == rbacpb.RBAC_DENY && fitting != "" && custom:
		o.Denied = "custom"
	case rules.GetAction() == rbacpb.RBAC_DENY && fitting != "":
		o.Denied = "deny"
	case rules.GetAction() == rbacpb.RBAC_ALLOW && fitting == "":
		o.Denied = "allow"
	}
	return nil
}

// first returns the first policy, by name, that fits a request; "" if none does.
func first(rules *rbacpb.RBAC, to request) (string, error) {
	names := make([]string, 0, len(rules.GetPolicies()))
	for name := range rules.GetPolicies() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		policy := rules.GetPolicies()[name]
		fits, err := anyFits(policy.GetPermissions(), to, permits)
		if err == nil && fits {
			fits, err = anyFits(policy.GetPrincipals(), to, identifies)
		}
		if err != nil {
			return "", fmt.Errorf("evaluating the policy %s: %w", name, err)
		}
		if fits {
			return name, nil
		}
	}
	return "", nil
}
