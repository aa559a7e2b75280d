// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	// Field 2 is the program's name, which may look like more fields.
	got, err := parseStat("4321 (a) b 9) S 1 4321 4321 0 -1 4194560 2035 0 0 0 1250 34 0 0 20 0 9 0 711 0 0 0")
	require.NoError(t, err)
	assert.Equal(t, 12_840*time.Millisecond, got)

	_, err = parseStat("nonsense")
	assert.ErrorContains(t, err, "no line of /proc/<pid>/stat")
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus("Name:\twebhook\nVmHWM:\t   40960 kB\nVmRSS:\t   30720 kB\nThreads:\t9\n")
	require.NoError(t, err)
	assert.Equal(t, memory{now: 30, peak: 40}, got)

	_, err = parseStatus("Name:\twebhook\n")
	assert.ErrorContains(t, err, "no VmRSS")
}

func TestParseCallsAddsUpTheOperations(t *testing.T) {
	const metrics = `# TYPE apiserver_admission_webhook_admission_duration_seconds histogram
apiserver_admission_webhook_admission_duration_seconds_bucket{name="mutate.n.example.com",operation="CREATE",rejected="false",type="admit",le="0.005"} 3
apiserver_admission_webhook_admission_duration_seconds_count{name="mutate.n.example.com",operation="CREATE",rejected="false",type="admit"} 3
apiserver_admission_webhook_admission_duration_seconds_count{name="mutate.n.example.com",operation="UPDATE",rejected="false",type="admit"} 1
apiserver_admission_webhook_admission_duration_seconds_count{name="validate.n.example.com",operation="CREATE",rejected="false",type="validating"} 2
apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="admit"} 9
`
	assert.Equal(t, map[string]int{"mutate.n.example.com": 4, "validate.n.example.com": 2}, parseCalls(metrics))
}

func TestRequestsAreJSON(t *testing.T) {
	for _, one := range scenarios() {
		_, _, _, body := one.request("x", 1, true)
		assert.True(t, json.Valid(body), "%s: %s", one.name, body)
	}
	assert.True(t, json.Valid(constantPatch()), "%s", constantPatch())
}

func TestParseConcurrency(t *testing.T) {
	all, err := parseConcurrency("1, 50")
	require.NoError(t, err)
	assert.Equal(t, []int{1, 50}, all)
	for _, wrong := range []string{"", "0,1", "1,ten", "10,50"} {
		_, err := parseConcurrency(wrong)
		assert.ErrorContains(t, err, "reading -concurrency", wrong)
	}
}
