// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"

	"github.com/extauth-guard/extauth-guard/test/harness/standin"
)

// killsEnv says how often the job is killed at random; 50 takes some minutes.
const killsEnv = "EXTAUTH_KILLS"

// buffer may be read while the process still writes.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// process is the job's binary at work.
type process struct {
	*exec.Cmd
	stderr buffer
	events *bufio.Scanner
}

func (s *scene) start(t *testing.T, more ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), binary, s.args(t, more...)...)}
	p.Stderr = &p.stderr
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	p.events = bufio.NewScanner(stdout)
	p.events.Buffer(nil, 1<<20)
	return p
}

// until reads events up to the one wanted; false if the process ended before.
func (p *process) until(event, step string) bool {
	for p.events.Scan() {
		var got struct{ Event, Step string }
		if json.Unmarshal(p.events.Bytes(), &got) == nil && got.Event == event && got.Step == step {
			return true
		}
	}
	return false
}

// finish reads the rest and returns how the process ended.
func (p *process) finish() error {
	for p.events.Scan() {
	}
	return p.Wait()
}

// kill ends the process without a chance to clean up.
func (p *process) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGKILL))
	_ = p.finish()
}

func TestKilledAtEveryStepBoundaryItConverges(t *testing.T) {
	s := newScene(t)
	before := s.foreignConfig(t)
	var cookie []byte
	for _, step := range []string{"preflight", "namespace", "credentials", "proxy", "callback", "authorizer", "effective", "verify"} {
		for _, event := range []string{"started", "finished"} {
			p := s.start(t)
			require.True(t, p.until(event, step), "%s %s: %s", event, step, p.stderr.String())
			p.kill(t)
			if step == "proxy" && event == "started" {
				cookie = s.secret(t).Data["cookie-secret"]
			}
			assert.Equal(t, before, s.foreignConfig(t))
		}
	}
	s.converges(t, before, cookie)
}

func TestKilledAtRandomItConverges(t *testing.T) {
	kills := 6
	if value := os.Getenv(killsEnv); value != "" {
		var err error
		kills, err = strconv.Atoi(value)
		require.NoError(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // It chooses moments, not secrets.
	t.Logf("seed %d, %d kills (%s)", seed, kills, killsEnv)
	s := newScene(t)
	before := s.foreignConfig(t)
	require.NoError(t, s.start(t).finish())
	cookie := s.secret(t).Data["cookie-secret"]
	left := map[string]int{}
	for range kills {
		// Values that change make the Helm step do something in every round.
		s.set(t, "proxy.extraValues", map[string]any{"replicaCount": int64(1 + random.IntN(3)), "podLabels": map[string]any{"round": strconv.Itoa(random.IntN(1000))}})
		p := s.start(t)
		require.True(t, p.until("started", []string{"preflight", "credentials", "proxy", "proxy", "proxy", "authorizer"}[random.IntN(6)]), p.stderr.String())
		after := time.Duration(random.IntN(int(400 * time.Millisecond)))
		timer := time.NewTimer(after)
		<-timer.C
		p.kill(t)
		left[s.releaseStatus(t)]++
		assert.Equal(t, before, s.foreignConfig(t))
		assert.Equal(t, cookie, s.secret(t).Data["cookie-secret"])
	}
	t.Logf("the release was left: %v", left)
	s.converges(t, before, cookie)
}

// TestKilledInTheMiddleOfHelmItHeals stops the process while Helm's release is
// pending, which the API server shows.
func TestKilledInTheMiddleOfHelmItHeals(t *testing.T) {
	s := newScene(t)
	s.keepNamespace(t)
	before := s.foreignConfig(t)
	for _, want := range []string{"pending-install", "pending-upgrade"} {
		caught := false
		for round := 0; round < 20 && !caught; round++ {
			s.set(t, "proxy.extraValues", map[string]any{"podLabels": map[string]any{"round": want + strconv.Itoa(round)}})
			if want == "pending-install" && round > 0 {
				require.NoError(t, s.start(t, "uninstall").finish())
			}
			p := s.start(t)
			require.True(t, p.until("started", "proxy"), p.stderr.String())
			deadline := time.Now().Add(5 * time.Second)
			for time.Now().Before(deadline) && s.releaseStatus(t) != want {
				if p.Process.Signal(syscall.Signal(0)) != nil {
					break
				}
			}
			p.kill(t)
			caught = s.releaseStatus(t) == want
		}
		require.True(t, caught, "never caught the release %s", want)
		cookie := s.secret(t).Data["cookie-secret"]
		s.converges(t, before, cookie)
	}
}

// converges runs once more and looks at everything.
func (s *scene) converges(t *testing.T, foreign string, cookie []byte) {
	t.Helper()
	p := s.start(t)
	require.NoError(t, p.finish(), p.stderr.String())
	assert.Equal(t, foreign, s.foreignConfig(t))
	assert.NotNil(t, s.ours(t))
	assert.Equal(t, cookie, s.secret(t).Data["cookie-secret"])
	assert.Equal(t, "deployed", s.releaseStatus(t))
	again := s.run(t)
	require.NoError(t, again.err)
	assert.Empty(t, again.applied())
}

func TestTwoAtATimeBothConverge(t *testing.T) {
	s := newScene(t)
	before := s.foreignConfig(t)
	first := s.start(t)
	second := s.start(t)
	errs := make(chan error, 1)
	go func() { errs <- second.finish() }()
	require.NoError(t, first.finish(), first.stderr.String())
	require.NoError(t, <-errs, second.stderr.String())
	s.converges(t, before, s.secret(t).Data["cookie-secret"])
}

// TestOthersWhoEditTheListAtTheSameTimeLoseNothing has somebody else add entries
// while the job installs and uninstalls.
func TestOthersWhoEditTheListAtTheSameTimeLoseNothing(t *testing.T) {
	s := newScene(t)
	s.keepNamespace(t)
	ctx, stop := context.WithCancel(t.Context())
	added := make(chan []string, 1)
	go func() {
		var names []string
		for i := 0; ctx.Err() == nil; i++ {
			name := "other-" + strconv.Itoa(i)
			if retry.RetryOnConflict(retry.DefaultBackoff, func() error { return s.add(ctx, name) }) == nil {
				names = append(names, name)
			}
		}
		added <- names
	}()
	require.NoError(t, s.run(t).err)
	require.NoError(t, s.run(t, "uninstall").err)
	require.NoError(t, s.run(t).err)
	stop()
	names := <-added
	require.NotEmpty(t, names)
	t.Logf("%d entries were added meanwhile", len(names))
	list, _, err := unstructured.NestedSlice(s.istio(t).Object, "spec", "config", "authorizers")
	require.NoError(t, err)
	have := map[string]int{}
	for _, entry := range list {
		name, _ := entry.(map[string]any)["name"].(string)
		have[name]++
	}
	for _, name := range names {
		assert.Equal(t, 1, have[name], name)
	}
	assert.Equal(t, 1, have["oauth2-proxy"])
}

func (s *scene) add(ctx context.Context, name string) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(standin.IstioGVK())
	if err := s.client.Get(ctx, standin.IstioKey(), object); err != nil {
		return err
	}
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
	list = append(list, map[string]any{"name": name, "port": int64(1)})
	if err := unstructured.SetNestedSlice(object.Object, list, "spec", "config", "authorizers"); err != nil {
		return err
	}
	return s.client.Update(ctx, object)
}

func TestAskedToStopItEndsSoonAndSaysSo(t *testing.T) {
	s := newScene(t)
	s.kubelet.Crash()
	p := s.start(t)
	require.True(t, p.until("started", "proxy"))
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	began := time.Now()
	require.Error(t, p.finish())
	assert.Less(t, time.Since(began), 10*time.Second)
	assert.Equal(t, 1, p.ProcessState.ExitCode())
	assert.Contains(t, p.stderr.String(), "asked to stop before it was done; run it again to go on")
	assert.NotContains(t, p.stderr.String(), secretCore)
}
