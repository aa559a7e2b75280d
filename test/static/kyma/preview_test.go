// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma

import (
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/chromium"
)

var update = flag.Bool("update", false, "keep the picture of the preview as it is now")

// full is an ExtAuthPolicy with everything that the page of policies shows.
const full = `{kind: ExtAuthPolicy, metadata: {name: public-hosts}, spec: {mode: Enforce, exemptions: [
  {namespace: shop, name: health, paths: [/healthz, /readyz], reason: probe of the CDN, owner: team-shop, expires: "2027-03-31"},
  {namespace: lab, name: old, reason: migration, owner: team-lab, expires: "2027-01-31"}]},
 status: {matched: 4, compliant: 2, exempt: 1, violating: 1, conditions: [{type: Ready, status: "True", reason: Evaluated}],
  violations: [{namespace: shop, name: cart, rule: 1, code: PolicyViolation, message: "requires one of the authorizers oauth2-proxy <b>"}],
  unguardedHosts: [{host: legacy.example.com, namespace: legacy, name: raw, gateway: kyma-system/kyma-gateway}]}}`

// preview writes the page that shows what the dashboard would of these objects.
func preview(t *testing.T) string {
	t.Helper()
	maps := configMaps(t)
	at := func(location, text string) map[string]any {
		return map[string]any{"location": location, "object": object(t, text)}
	}
	page := run(t, "preview.js", map[string]any{
		"list": section(t, maps["policies"], "list"), "details": section(t, maps["policies"], "details"), "injections": section(t, maps["panels"], "injections"),
		"policies": []any{object(t, full), object(t, `{kind: ExtAuthPolicy, metadata: {name: new}, spec: {mode: Audit}}`)},
		"objects": []any{
			at("apirules", apirule(guarded+","+open)),
			at("Services", annotated("Service", `extauth-guard.io/authorizers: corp, extauth-guard.io/internal-callers: batch, extauth-guard.io/expose: cart`)),
			at("Namespaces", `{metadata: {name: shop, labels: {istio-injection: enabled}, annotations: {extauth-guard.io/inject: "true"}}}`),
			at("ClusterOverview", `{metadata: {name: ""}}`),
		},
	})
	path := filepath.Join(t.TempDir(), "preview.html")
	require.NoError(t, os.WriteFile(path, page, 0o600))
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// What the expressions make of objects, as a person sees it: every value is there, and
// none is one that an engine prints for what it does not have.
func TestPreviewInABrowser(t *testing.T) {
	address := preview(t)
	ctx := chromium.Start(t)
	screen := chromium.Screen{Width: 1280, Scheme: "light"}
	var text string
	var missing, complaints []string
	var shot []byte
	require.NoError(t, chromedp.Run(
		ctx, screen.Emulate(), chromedp.Navigate(address),
		chromedp.Evaluate(`document.body.innerText`, &text),
		chromedp.Evaluate(`[...document.querySelectorAll(".missing")].map(one => (one.closest(".field, tr") ?? one.parentElement).innerText)`, &missing),
		chromium.Layout(screen, &complaints),
		chromedp.FullScreenshot(&shot, 100),
	))
	for _, want := range []string{
		"Enforce\tReady\t4\t1\t1", "Audit\tUnknown\t0\t0\t0", // the list
		"2 of 4 comply, 1 are exempt, 1 violate", "not looked at yet", // the header of the details
		"shop/cart\t1\tPolicyViolation\trequires one of the authorizers oauth2-proxy <b>",
		"legacy.example.com\tlegacy/raw\tkyma-system/kyma-gateway",
		"shop/health\t/healthz, /readyz\tprobe of the CDN\tteam-shop\t2027-03-31", "lab/old\tall\tmigration\tteam-lab\t2027-01-31",
		"Partly open", "everybody may call /status (GET, HEAD)", "nobody; the author wrote it", "remove noAuth and annotate",
		"public-hosts\t1\tPolicyViolation",
		"get corp", "batch", "asked for as cart; the events say what became of it",
		"get the default authorizer", "are injected",
		"APIRules that a policy matches", "Compliant\n2", "Violating\n1", "Exempt\n1",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotRegexp(t, `undefined|\[object|NaN|\bnull\b`, text)
	assert.Empty(t, missing)
	assert.Empty(t, complaints)
	family, err := chromium.Font(ctx)
	require.NoError(t, err)
	if family != chromium.Pictured {
		t.Skipf("the picture is not compared: this machine draws the page with %q, and the one that is kept has %s", family, chromium.Pictured)
	}
	chromium.Compare(t, "testdata/preview.png", shot, *update)
}
