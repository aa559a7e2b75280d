// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// unsigned makes a JWT whose signature is nonsense, which display does not mind.
func unsigned(t testing.TB, alg string, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]any{"alg": alg, "kid": "k1"}) + "." + part(claims) + ".c2ln"
}

func TestDecodeClaims(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		token   string
		want    oidc.Claims
		wantErr string
	}{
		"everything there is": {
			token: unsigned(t, "RS256", map[string]any{
				"iss": "https://idp", "sub": "s", "aud": []string{"a", "b"}, "exp": 1700000000, "nbf": 1600000000.5, "iat": 1600000000,
				"email": "a@b.c", "email_verified": true, "scope": "openid email",
			}),
			want: oidc.Claims{
				Algorithm: "RS256", KeyID: "k1", Issuer: "https://idp", Subject: "s", Email: "a@b.c", Scope: "openid email",
				Audience: []string{"a", "b"}, Expiry: time.Unix(1700000000, 0).UTC(), NotBefore: time.Unix(1600000000, 0).UTC(),
				IssuedAt: time.Unix(1600000000, 0).UTC(), EmailVerified: &yes,
			},
		},
		"one audience as a string, scopes as a list, a boolean as a string": {
			token: unsigned(t, "RS256", map[string]any{"aud": "a", "scope": []string{"x", "y"}, "email_verified": "false"}),
			want:  oidc.Claims{Algorithm: "RS256", KeyID: "k1", Audience: []string{"a"}, Scope: "x y", EmailVerified: &no},
		},
		"nulls are absent": {
			token: unsigned(t, "RS256", map[string]any{"aud": nil, "exp": nil, "email_verified": nil, "scope": nil}),
			want:  oidc.Claims{Algorithm: "RS256", KeyID: "k1"},
		},
		"an opaque token":                {token: "opaque", wantErr: "is it an opaque token?"},
		"a part that is not base64url":   {token: "a=.b.c", wantErr: "header: not base64url"},
		"claims that are no object":      {token: "e30.W10.c2ln", wantErr: "claims: not a JSON object"},
		"an audience of another type":    {token: unsigned(t, "RS256", map[string]any{"aud": 7}), wantErr: "aud is neither a string nor a list"},
		"a time of another type":         {token: unsigned(t, "RS256", map[string]any{"exp": "soon"}), wantErr: "a time is not a number"},
		"a time beyond every calendar":   {token: unsigned(t, "RS256", map[string]any{"exp": 1e300}), wantErr: "a time is not a number"},
		"an issuer of another type":      {token: unsigned(t, "RS256", map[string]any{"iss": 7}), wantErr: "claim iss is a JSON number"},
		"an encrypted token, five parts": {token: "a.b.c.d.e", wantErr: "5 parts instead of the three"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := oidc.DecodeClaims(tc.token)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(oidc.Claims{})), "(-want +got)")
		})
	}
}

func TestExplain(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	want := oidc.Expectation{Issuer: "https://idp", ClientID: "shop"}
	good := map[string]any{"iss": "https://idp", "aud": "shop", "exp": now.Add(time.Minute).Unix()}
	with := func(changes map[string]any) string {
		claims := map[string]any{}
		maps.Copy(claims, good)
		for k, v := range changes {
			claims[k] = v
			if v == nil {
				delete(claims, k)
			}
		}
		return unsigned(t, "RS256", claims)
	}
	for name, tc := range map[string]struct {
		token string
		want  []oidc.ProblemCode
		says  string
	}{
		"a good token":                          {token: with(nil)},
		"one of many audiences":                 {token: with(map[string]any{"aud": []string{"x", "shop"}})},
		"neither email nor sub is needed":       {token: with(map[string]any{"email": nil, "sub": nil})},
		"an unverified address is refused":      {with(map[string]any{"email": "a@b", "email_verified": false}), []oidc.ProblemCode{oidc.ProblemEmailUnverified}, "email_verified is false"},
		"a verified one is not":                 {token: with(map[string]any{"email": "a@b", "email_verified": true})},
		"another audience":                      {with(map[string]any{"aud": "api"}), []oidc.ProblemCode{oidc.ProblemAudience}, `aud is ["api"], oauth2-proxy expects it to contain its client ID "shop"`},
		"no audience":                           {with(map[string]any{"aud": nil}), []oidc.ProblemCode{oidc.ProblemAudience}, "aud is missing"},
		"another issuer":                        {with(map[string]any{"iss": "https://idp/"}), []oidc.ProblemCode{oidc.ProblemIssuer}, `iss is "https://idp/"`},
		"expired":                               {with(map[string]any{"exp": now.Add(-time.Minute).Unix()}), []oidc.ProblemCode{oidc.ProblemExpired}, "expired at 2026-08-01T11:59:00Z, 1m0s ago"},
		"no expiry":                             {with(map[string]any{"exp": nil}), []oidc.ProblemCode{oidc.ProblemNoExpiry}, "there is no exp"},
		"not before within the leeway":          {token: with(map[string]any{"nbf": now.Add(4 * time.Minute).Unix()})},
		"not before beyond the leeway":          {with(map[string]any{"nbf": now.Add(6 * time.Minute).Unix()}), []oidc.ProblemCode{oidc.ProblemNotYetValid}, "compare the clocks"},
		"an opaque token":                       {"opaque-1", []oidc.ProblemCode{oidc.ProblemNotJWT}, "have the provider issue JWT"},
		"a shared-key signature":                {unsigned(t, "HS256", good), []oidc.ProblemCode{oidc.ProblemAlgorithm}, `signed with "HS256"`},
		"all problems are said, not only one":   {with(map[string]any{"iss": "x", "aud": "y", "exp": nil}), []oidc.ProblemCode{oidc.ProblemIssuer, oidc.ProblemAudience, oidc.ProblemNoExpiry}, ""},
		"an address verified in another manner": {with(map[string]any{"email_verified": "maybe"}), []oidc.ProblemCode{oidc.ProblemEmailUnverified}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var codes []oidc.ProblemCode
			var said []string
			for _, p := range oidc.Explain(oidc.NewSecret(tc.token), want, now) {
				codes = append(codes, p.Code)
				said = append(said, p.Message)
			}
			assert.Empty(t, cmp.Diff(tc.want, codes), "(-want +got)")
			assert.Contains(t, strings.Join(said, "\n"), tc.says)
		})
	}
}

func TestExplainKnowsTheFlagsThatWidenWhatIsTaken(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		claims map[string]any
		flags  oidc.Expectation
		want   string
	}{
		"an extra audience":              {map[string]any{"aud": "account"}, oidc.Expectation{ExtraAudiences: []string{"account"}}, ""},
		"another extra audience":         {map[string]any{"aud": "account"}, oidc.Expectation{ExtraAudiences: []string{"api"}}, `its client ID "shop" or one of --oidc-extra-audience ["api"]`},
		"the audience in another claim":  {map[string]any{"azp": "shop"}, oidc.Expectation{AudienceClaims: []string{"azp", "aud"}}, ""},
		"the first of the claims counts": {map[string]any{"azp": "x", "aud": "shop"}, oidc.Expectation{AudienceClaims: []string{"azp", "aud"}}, `azp is ["x"]`},
		"unverified addresses":           {map[string]any{"aud": "shop", "email_verified": false}, oidc.Expectation{UnverifiedEmails: true}, ""},
		"an address that is a list":      {map[string]any{"aud": "shop", "email": []string{"a", "b"}}, oidc.Expectation{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.claims["iss"], tc.claims["exp"] = "https://idp", now.Add(time.Minute).Unix()
			tc.flags.Issuer, tc.flags.ClientID = "https://idp", "shop"
			problems := oidc.Explain(oidc.NewSecret(unsigned(t, "RS256", tc.claims)), tc.flags, now)
			if tc.want == "" {
				assert.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			assert.Contains(t, problems[0].Message, tc.want)
		})
	}
}

func TestTokenFromHeader(t *testing.T) {
	jwt := unsigned(t, "RS256", map[string]any{"aud": "a"})
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for name, tc := range map[string]struct {
		header string
		want   string
		says   string
	}{
		"a bearer token":                      {header: "Bearer " + jwt, want: jwt},
		"the token as user name":              {header: basic(jwt + ":"), want: jwt},
		"the token as user name, marked":      {header: basic(jwt + ":x-oauth-basic"), want: jwt},
		"the token as password":               {header: basic("me:" + jwt), want: jwt},
		"the token as user with a password":   {header: basic(jwt + ":pw"), says: "Basic authentication without a JWT"},
		"a password only":                     {header: basic("me:pw"), says: "Basic authentication without a JWT"},
		"no pair":                             {header: basic("me"), says: "Basic authentication without a JWT"},
		"no base64":                           {header: "Basic !", says: "Basic authentication without a JWT"},
		"a lower-case scheme":                 {header: "bearer " + jwt, says: "write Bearer"},
		"an opaque token":                     {header: "Bearer opaque", says: "not a JWT"},
		"no header":                           {says: "no Authorization header"},
		"a token alone":                       {header: jwt, says: "not a scheme, one space and a token"},
		"two spaces":                          {header: "Bearer  " + jwt, says: "not a scheme, one space and a token"},
		"a scheme that is neither":            {header: "Digest abc", says: "not Bearer"},
		"a bearer token of an unsigned token": {header: "Bearer " + strings.TrimSuffix(jwt, "c2ln"), says: "not a JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			token, problem := oidc.TokenFromHeader(tc.header)
			assert.Equal(t, tc.want, token.Reveal())
			if tc.says == "" {
				assert.Nil(t, problem)
				return
			}
			require.NotNil(t, problem)
			assert.Contains(t, problem.Message, tc.says)
			assert.NotContains(t, problem.Message, jwt)
		})
	}
}

func FuzzDecodeClaims(f *testing.F) {
	for _, seed := range []string{
		"", "a.b.c", "e30.e30.c2ln", "e30.W10.c2ln",
		unsigned(f, "RS256", map[string]any{"aud": []string{"a"}, "exp": 1, "email_verified": "x"}),
		unsigned(f, "none", map[string]any{"aud": nil, "exp": 1e308, "scope": []string{"a"}}),
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := oidc.DecodeClaims(token)
		problems := oidc.Explain(oidc.NewSecret(token), oidc.Expectation{Issuer: "i", ClientID: "c"}, now)
		if err != nil {
			require.NotEmpty(t, problems, "a token that does not decode was explained as acceptable")
			return
		}
		// What was decoded can be shown as JSON, dates included.
		_, err = json.Marshal(claims)
		require.NoError(t, err)
	})
}
