// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/probe"
)

// stranger is a text that would clear the screen, begin a line, and speak to a
// runner.
const stranger = "a\x1b[2J\r\n::error::pwned\u2028\n  √ all is well"

// What objects, tokens and servers say stays text in what is printed for people.
func TestTextOfStrangersStaysText(t *testing.T) {
	for name, write := range map[string]func(*strings.Builder) error{
		"explain": func(text *strings.Builder) error {
			finding := explainedFinding{Code: policy.Code(stranger), Path: stranger, Message: stranger, Fix: stranger}
			explained := explanation{
				Namespace: stranger, Name: stranger, Host: stranger, Gateway: stranger,
				Registry: registryState{Known: true, Names: []string{stranger}, Origin: stranger, State: stranger},
				Policies: []explainedPolicy{{Name: stranger, State: policy.State(stranger)}}, Findings: []explainedFinding{finding},
				Rules: []explainedRule{{
					Path: stranger, Methods: []string{stranger}, Strategy: stranger, AskedBy: stranger, Injection: policy.Injected,
					Service:     explainedService{Name: stranger, Selector: stranger},
					Authorizers: []explainedAuthorizer{{Name: stranger, Service: stranger}}, Findings: []explainedFinding{finding},
				}},
			}
			return explained.print(text, 0)
		},
		"explain without a registry": func(text *strings.Builder) error {
			explained := explanation{Registry: registryState{Reason: stranger}}
			return explained.print(text, 0)
		},
		"check": func(text *strings.Builder) error {
			printer := &checkPrinter{w: text}
			for _, one := range []status{passed, failed} {
				printer.print(checked{Category: "one", Name: "two", Status: one, Detail: stranger, Hint: stranger})
			}
			return printer.err
		},
		"token": func(text *strings.Builder) error {
			claims := `{"iss": ` + strconv.QuoteToASCII(strings.ReplaceAll(stranger, "\x1b", "")) + `, "sub": "\u001b[2J\n::x", "email": "a\nb"}`
			encode := base64.RawURLEncoding.EncodeToString
			token := oidc.Token{Access: oidc.NewSecret(encode([]byte(`{"alg": "RS256", "kid": "\u001b"}`)) + "." + encode([]byte(claims)) + ".x")}
			return errors.Join(printClaims(text, token, nil, time.Unix(0, 0)))
		},
		"try": func(text *strings.Builder) error {
			err := printAttempts(text, stranger, []attempt{{kind: withoutToken, answer: tryAnswer{http.StatusFound, stranger, stranger}}, {kind: withToken, err: errors.New(stranger)}})
			require.ErrorIs(t, err, errSaid)
			return nil
		},
		"probe": func(text *strings.Builder) error {
			return printProbe(text, "text", stranger, probe.Result{Failures: []probe.Failure{{Method: stranger, Path: stranger, Header: stranger, Cause: stranger}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			require.NoError(t, write(&text))
			require.NotEmpty(t, text.String())
			for line := range strings.SplitSeq(text.String(), "\n") {
				assert.Equal(t, quote.Line(line), line)
				assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "::"), "%s", line)
				assert.NotEqual(t, "√ all is well", strings.TrimSpace(line))
			}
		})
	}
}
