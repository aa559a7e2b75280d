// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/module"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// The page has every reason of the code, with the state that it makes.
func TestEveryReasonOfTheExtAuthGuardHasItsState(t *testing.T) {
	page, err := os.ReadFile(checkout.Path(t, "docs/reference/extauthguard.md"))
	require.NoError(t, err)
	documented := map[string]v1alpha1.State{}
	name := regexp.MustCompile("`(\\w+)`")
	_, status, _ := strings.Cut(string(page), "## status")
	for line := range strings.Lines(status) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !name.MatchString(cells[2]) || name.MatchString(cells[3]) {
			continue
		}
		for _, reason := range name.FindAllStringSubmatch(cells[2], -1) {
			documented[reason[1]] = v1alpha1.State(strings.TrimSpace(cells[3]))
		}
	}
	source, err := os.ReadFile(checkout.Path(t, "pkg/controllers/module/state.go"))
	require.NoError(t, err)
	reasons := regexp.MustCompile(`(?m)^\tReason\w+ += "(\w+)"$`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, reasons)
	unknown := map[string]bool{
		module.ReasonNotRead: true, module.ReasonNoCertificate: true, module.ReasonRegistryUnknown: true, module.ReasonNotAudited: true,
	}
	for _, reason := range reasons {
		state, found := documented[reason[1]]
		if unknown[reason[1]] {
			assert.False(t, found, "%s is never False", reason[1])
			continue
		}
		assert.Equal(t, module.StateFor(metav1.ConditionFalse, reason[1], false), state, reason[1])
		delete(documented, reason[1])
	}
	assert.Empty(t, documented, "the code has no such reason")
}
