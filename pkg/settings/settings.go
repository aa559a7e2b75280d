// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// inForce is what holds at one moment. It is never changed.
type inForce struct {
	settings policy.Settings
	names    config.Names
}

// Of returns the settings that a configuration makes by itself.
func Of(file config.WebhookConfig) policy.Settings {
	return of(file).settings
}

func of(file config.WebhookConfig) inForce {
	choices := file.Policy
	settings := policy.Settings{
		DefaultAuthorizers: choices.DefaultAuthorizers,
		ExcludedNamespaces: map[string]bool{},
		UnknownRegistry:    policy.Deny,
		SeveralAuthorizers: choices.SeveralAuthorizers == config.Warn,
		InternalCallers:    file.Controllers.Internal.Enabled,
	}
	for _, names := range [][]string{policy.SystemNamespaces(), choices.ExcludedNamespaces} {
		for _, name := range names {
			settings.ExcludedNamespaces[name] = true
		}
	}
	if choices.UnknownRegistry == config.Warn {
		settings.UnknownRegistry = policy.Warn
	}
	return inForce{settings: settings, names: choices.Names}
}

// over puts what an ExtAuthGuard says over what the configuration file says. The
// errors have the paths of the ExtAuthGuard.
func over(file config.WebhookPolicy, guard v1alpha1.GuardPolicy) (config.WebhookPolicy, field.ErrorList) {
	all := file
	if len(guard.DefaultAuthorizers) > 0 {
		all.DefaultAuthorizers = texts(guard.DefaultAuthorizers)
	}
	if guard.UnknownRegistry != "" {
		all.UnknownRegistry = config.Enforcement(guard.UnknownRegistry)
	}
	if guard.SeveralAuthorizers != "" {
		all.SeveralAuthorizers = config.Enforcement(guard.SeveralAuthorizers)
	}
	if guard.Names != "" {
		all.Names = config.Names(guard.Names)
	}
	all.ExcludedNamespaces = texts(guard.ExcludedNamespaces)
	errs := config.ValidatePolicy(field.NewPath("spec", "policy"), all)
	all.ExcludedNamespaces = slices.Concat(file.ExcludedNamespaces, all.ExcludedNamespaces)
	return all, errs
}

func texts[T ~string](names []T) []string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, string(name))
	}
	return all
}
