// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFormOf(t *testing.T) {
	for pattern, want := range map[string]string{
		"/":                              "/",
		"/orders":                        "/orders",
		"/orders/":                       "/orders/",
		"/a/b-c_d.e~f":                   "/a/b-c_d.e~f",
		"/.*":                            "/*",
		"/(.*)":                          "/*",
		"(/.*)":                          "/*",
		".*":                             "/*",
		"/.+":                            "/{*} /{*}/{**}",
		"/orders/.*":                     "/orders/{**}",
		"/orders/(.*)":                   "/orders/{**}",
		"/orders/.+":                     "/orders/{*} /orders/{*}/{**}",
		"/orders(/.*)?":                  "/orders /orders/{**}",
		"/orders(/|$)(.*)":               "/orders/{**} /orders",
		"/orders/?":                      "/orders /orders/",
		"/orders/?(.*)":                  "narrower /orders /orders/{**}",
		"/orders.*":                      "narrower /orders /orders/{**}",
		"/orders(.*)":                    "narrower /orders /orders/{**}",
		"/orders.+":                      "narrower /orders/{**}",
		"/orders/[^/]+":                  "/orders/{*}",
		"/orders/[^/]*":                  "/orders/ /orders/{*}",
		"/[^/]+/items/([^/]+)":           "/{*}/items/{*}",
		"/a/.*/b":                        "/a/{**}/b",
		"/(admin|internal)/.*":           "/admin/{**} /internal/{**}",
		"/(a|b)/(c|d)":                   "/a/c /a/d /b/c /b/d",
		"/v[12]/.*":                      "/v1/{**} /v2/{**}",
		"/robots.txt":                    "/robots.txt",
		`/robots\.txt`:                   "/robots.txt",
		"/.well-known/.*":                "/.well-known/{**}",
		"^/orders$":                      "/orders",
		"/orders/.*$":                    "/orders/{**}",
		"/a{2}":                          "/aa",
		"/a%20b":                         "/a%20b",
		"/*":                             "/",
		"/orders/*":                      "/orders /orders/",
		"/(|orders)":                     "/ /orders",
		"/a$b":                           "",
		"":                               "",
		"/v[0-9]+/.*":                    "",
		"/.*\\.html":                     "",
		"/a.*/b":                         "",
		"/a/.*/b/.*":                     "",
		"/a/.*/[^/]+":                    "",
		"/[a-z]*":                        "",
		"/a+":                            "/a",
		"/(ab)+":                         "",
		"/a b":                           "",
		"/a\\+b":                         "",
		"/a\\(b":                         "",
		"/{*}":                           "",
		"/(?i)orders":                    "",
		"/(?!admin).*":                   "",
		"/(":                             "",
		"/\\d+":                          "",
		"/" + strings.Repeat("(a|b)", 7): "",
	} {
		paths, narrower := formOf(pattern)
		got := strings.Join(paths, " ")
		if narrower {
			got = "narrower " + got
		}
		assert.Equal(t, want, got, pattern)
		for _, path := range paths {
			assert.Regexp(t, validPath, path, pattern)
		}
	}
}

// What takes the place of a pattern matches nothing that the pattern does not
// match, whatever the pattern is.
func FuzzFormOfIsWithinThePattern(f *testing.F) {
	for _, seed := range []string{"/.*", "/a(/|$)(.*)", "/(a|b)/[^/]+", "/a/.+", "/a.*", "/a/?", "^/a$|/b", "/a/.*/b", "/*", "(/.*){1,2}", "/a||/b", "/[^/]*/x.y", "/(?:a|)(/.*)?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		paths, _ := formOf(pattern)
		if len(paths) == 0 || len(pattern) > 200 {
			t.Skip("the pattern is too long, or no path of an APIRule stands for it")
		}
		old, err := regexp.Compile("^(?:" + pattern + ")$")
		require.NoError(t, err)
		for _, path := range paths {
			require.Regexp(t, validPath, path)
			for _, segment := range []string{"x", "a/b", "admin", "-._~"} {
				for _, rest := range []string{"", "x", "x/y/", "/"} {
					request := strings.ReplaceAll(path, "{*}", strings.ReplaceAll(segment, "/", "-"))
					if strings.Contains(request, "{**}/") {
						rest = segment // no empty segments in the middle
					}
					request = strings.ReplaceAll(request, "{**}", rest)
					if path == "/*" {
						request = "/" + rest
					}
					require.True(t, old.MatchString(request), "%q became %q, which matches %q", pattern, path, request)
				}
			}
		}
	})
}

func TestPathsAreCompared(t *testing.T) {
	for _, tc := range []struct {
		a, b                      string
		covers, overlap, conflict bool
	}{
		{"/a", "/a", true, true, true},
		{"/a", "/b", false, false, false},
		{"/a", "/a/", false, false, false},
		{"/a/{**}", "/a", false, false, false},
		{"/a/{**}", "/a/", true, true, true},
		{"/a/{**}", "/a/b/c", true, true, true},
		{"/a/{**}", "/a/{*}", true, true, true},
		{"/a/{*}", "/a/{**}", false, true, true},
		{"/a/{*}", "/a/b", true, true, true},
		{"/a/{*}", "/a/", false, false, true},
		{"/a/{*}", "/a/b/c", false, false, false},
		{"/a/{*}", "/a/{*}/{**}", false, false, false},
		{"/a/b", "/a/{*}", false, true, false},
		{"/*", "/", true, true, true},
		{"/*", "/{**}", true, true, true},
		{"/", "/*", false, true, false},
		{"/{*}/b", "/a/{*}", false, true, false},
		{"/{*}/{*}", "/a/{*}", true, true, true},
		{"/a/{**}/b", "/a/x/b", false, true, true},
		{"/a/{**}/b", "/a/x/c", false, true, false},
		{"/a/{**}/b", "/c", false, false, false},
	} {
		assert.Equal(t, tc.covers, covers(tc.a, tc.b), "%s covers %s", tc.a, tc.b)
		assert.Equal(t, tc.overlap, overlap(tc.a, tc.b), "%s overlaps %s", tc.a, tc.b)
		assert.Equal(t, tc.overlap, overlap(tc.b, tc.a), "%s overlaps %s", tc.b, tc.a)
		assert.Equal(t, tc.conflict, conflict(tc.a, tc.b), "%s conflicts with %s", tc.a, tc.b)
	}
}

// The walk finds every set of patterns that some path matches together, and each
// path that it gives matches what it says.
func TestPatternsAreWalkedCompletely(t *testing.T) {
	expressions := []string{"/.*", "/a/.*", "/a(/.*)?", "/a/[^/]+", "/(?i)API/.*", "/[^/]+/b", "/a.b", "/$", "^/x", "/a/b|/c"}
	var all patterns
	var compiled []*regexp.Regexp
	for _, expression := range expressions {
		require.NoError(t, all.add(expression))
		compiled = append(compiled, regexp.MustCompile("^(?:"+expression+")$"))
	}
	matching := func(path string) string {
		var set strings.Builder
		for i, expression := range compiled {
			if expression.MatchString(path) {
				set.WriteByte(byte('a' + i))
			}
		}
		return set.String()
	}
	found := map[string]bool{}
	require.NoError(t, all.each(func(path string, matched []int) {
		var set strings.Builder
		for _, i := range matched {
			set.WriteByte(byte('a' + i))
		}
		require.Equal(t, matching(path), set.String(), path)
		found[set.String()] = true
	}))
	// Every path of up to five of these characters is in one of the sets.
	var visit func(path string)
	visit = func(path string) {
		require.True(t, found[matching(path)], "%s is in a set that the walk did not find", path)
		if len(path) < 6 {
			for _, next := range "/abcxAPpiI." {
				visit(path + string(next))
			}
		}
	}
	visit("/")
}

func TestPatternsThatCostTooMuchAreRefused(t *testing.T) {
	var all patterns
	require.NoError(t, all.add("/.*a.{24}"))
	assert.ErrorIs(t, all.each(func(string, []int) {}), errTooComplex)
	assert.Less(t, all.work, 2*maxWork)
	assert.Error(t, all.add(`/a\b`), "word boundaries are not followed")
	assert.Error(t, all.add("/(?!a)"))
}
