// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeFlags are the flags of kubectl that say which cluster is meant. They are those of
// client-go and not of cli-runtime, which brings kustomize and with it Go's plugins: the
// linker then keeps every method of everything.
type kubeFlags struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func newKubeFlags() *kubeFlags {
	return &kubeFlags{
		rules:     clientcmd.NewDefaultClientConfigLoadingRules(),
		overrides: clientcmd.ConfigOverrides{ClusterDefaults: clientcmd.ClusterDefaults},
	}
}

// addFlags adds the flags to a set.
func (k *kubeFlags) addFlags(set *pflag.FlagSet) {
	set.StringVar(&k.rules.ExplicitPath, "kubeconfig", "", "the kubeconfig `file`; without it KUBECONFIG or the one in your home")
	usual := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(&k.overrides, set, clientcmd.ConfigOverrideFlags{
		AuthOverrideFlags: clientcmd.AuthOverrideFlags{
			Impersonate:       usual.AuthOverrideFlags.Impersonate,
			ImpersonateGroups: usual.AuthOverrideFlags.ImpersonateGroups,
		},
		ClusterOverrideFlags: clientcmd.ClusterOverrideFlags{ProxyURL: usual.ClusterOverrideFlags.ProxyURL},
		ContextOverrideFlags: clientcmd.ContextOverrideFlags{Namespace: usual.ContextOverrideFlags.Namespace},
		CurrentContext:       usual.CurrentContext,
		Timeout:              usual.Timeout,
	})
	k.overrides.AuthInfo.ImpersonateUserExtra = map[string][]string{}
	set.Var(extras(k.overrides.AuthInfo.ImpersonateUserExtra), "as-user-extra", "an extra of the user to impersonate, as `KEY=VALUE`; may be given again")
}

// extras is a flag that may be given several times, for one key as well.
type extras map[string][]string

// String is "", which is the default.
func (extras) String() string { return "" }

// Type is what help shows where a flag does not name its value.
func (extras) Type() string { return "KEY=VALUE" }

// Set adds one value.
func (e extras) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found || key == "" {
		return errors.New("write KEY=VALUE")
	}
	e[key] = append(e[key], value)
	return nil
}

// namespace is what --namespace says; "" without it.
func (k *kubeFlags) namespace() string { return k.overrides.Context.Namespace }

// loader reads the kubeconfig, when it is asked.
func (k *kubeFlags) loader() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(k.rules, &k.overrides)
}

// config returns how the cluster is reached.
func (k *kubeFlags) config() (*rest.Config, error) { return k.loader().ClientConfig() }
