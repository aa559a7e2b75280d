// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// token gets a token by the client-credentials grant, just as a caller would, and
// says why the proxy would refuse it.
func (e Environment) token(ctx context.Context) (oidc.Secret, []string, error) {
	metadata, err := oidc.Discover(ctx, e.Issuer, e.Config.Issuer.URL)
	if err != nil {
		return oidc.Secret{}, nil, err
	}
	secret, err := e.secret(ctx)
	if err != nil {
		return oidc.Secret{}, nil, err
	}
	if secret == nil {
		return oidc.Secret{}, nil, fmt.Errorf("secret %s is not there yet", e.key(e.Config.Proxy.SecretName))
	}
	token, err := oidc.ClientCredentials(ctx, e.Issuer, metadata, credentialsOf(secret), e.Config.Verify.Scopes...)
	if err != nil {
		return oidc.Secret{}, nil, err
	}
	return token.Access, e.explainToken(token.Access, string(secret.Data[clientIDKey])), nil
}

func credentialsOf(secret *corev1.Secret) oidc.Credentials {
	return oidc.Credentials{
		ClientID: string(secret.Data[clientIDKey]),
		Secret:   oidc.NewSecret(string(secret.Data[clientSecretKey])),
	}
}

// explainToken says why the proxy would refuse a token.
func (e Environment) explainToken(token oidc.Secret, clientID string) []string {
	var problems []string
	for _, problem := range oidc.Explain(token, e.expectation(clientID), e.Clock.Now()) {
		problems = append(problems, problem.Message)
	}
	return problems
}
