// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// extraArg returns the value of a flag that proxy.extraValues sets, or nothing. A
// list is joined, as the proxy reads it.
func (e Environment) extraArg(flag string) string {
	args, _ := e.Config.Proxy.ExtraValues["extraArgs"].(map[string]any)
	switch value := args[flag].(type) {
	case nil:
		return ""
	case []any:
		texts := make([]string, 0, len(value))
		for _, each := range value {
			texts = append(texts, fmt.Sprint(each))
		}
		return strings.Join(texts, ",")
	default:
		return fmt.Sprint(value)
	}
}

// expectation is what the proxy will want of a token with the flags it gets.
func (e Environment) expectation(clientID string) oidc.Expectation {
	unverified, err := strconv.ParseBool(e.extraArg("insecure-oidc-allow-unverified-email"))
	return oidc.Expectation{
		Issuer:           e.Config.Issuer.URL,
		ClientID:         clientID,
		ExtraAudiences:   split(e.extraArg("oidc-extra-audience")),
		AudienceClaims:   split(e.extraArg("oidc-audience-claim")),
		UnverifiedEmails: unverified && err == nil,
	}
}

// imageTag is the tag of the image that the chart will install.
func imageTag(values map[string]any) string {
	image, _ := values["image"].(map[string]any)
	return fmt.Sprint(image["tag"])
}

// flagsOf are the flags that the chart will give to the proxy.
func flagsOf(values map[string]any) oauth2proxy.Settings {
	args, _ := values["extraArgs"].(map[string]any)
	var flags []string
	for name, value := range args {
		each, many := value.([]any)
		if !many {
			each = []any{value}
		}
		for _, one := range each {
			flags = append(flags, fmt.Sprintf("--%s=%v", name, one))
		}
	}
	return oauth2proxy.Parse(flags, nil)
}

func split(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
}
