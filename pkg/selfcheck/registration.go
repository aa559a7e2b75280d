// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package selfcheck

import "fmt"

// Gone says which of the two webhook configurations of that name is gone, and what
// follows; "" if both are there.
func Gone(configuration string, mutating, validating bool) string {
	switch {
	case mutating && validating:
		return ""
	case mutating:
		return fmt.Sprintf("the ValidatingWebhookConfiguration %s is gone: nothing is refused", configuration)
	case validating:
		return fmt.Sprintf("the MutatingWebhookConfiguration %s is gone: nothing is injected", configuration)
	}
	return "both webhook configurations are gone: nothing is injected or refused"
}

// Untrusted says that the API server has no reason to trust whoever answers a webhook.
func Untrusted(webhook string) string {
	return fmt.Sprintf("the webhook %s has no CA bundle", webhook)
}
