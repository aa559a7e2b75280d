// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// AddUser returns the configuration of a user with a client certificate of its
// own. What it may do is for RBAC to say; the group system:masters may do
// everything.
func (c *ControlPlane) AddUser(name string, groups ...string) (*rest.Config, error) {
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, c.unlimited())
	if err != nil {
		return nil, fmt.Errorf("adding the user %s: %w", name, err)
	}
	return rest.CopyConfig(user.Config()), nil
}

// AsServiceAccount returns a configuration under which RBAC and webhooks see the
// service account and the groups it always has. It impersonates, so the account
// and its token need not exist.
func (c *ControlPlane) AsServiceAccount(namespace, name string) *rest.Config {
	config := c.Config()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	return config
}

// unlimited is a configuration without client-side throttling, which would
// measure the client where a test means the server.
func (c *ControlPlane) unlimited() *rest.Config {
	return &rest.Config{QPS: c.env.Config.QPS, Burst: c.env.Config.Burst}
}

// WriteKubeconfig writes a kubeconfig of the user who may do everything, with its
// credentials inside, readable by the owner only.
func (c *ControlPlane) WriteKubeconfig(path string) error {
	if err := os.WriteFile(path, c.env.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}
