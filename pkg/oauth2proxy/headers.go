// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

// IdentityHeaders are those that say to an application who somebody is: what the
// proxy answers a check with, and what its own upstream would get. They are in lower
// case.
func IdentityHeaders() []string {
	return []string{
		"x-auth-request-user", "x-auth-request-email", "x-auth-request-groups", "x-auth-request-preferred-username",
		"x-auth-request-access-token", "x-auth-request-redirect",
		"x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
	}
}
