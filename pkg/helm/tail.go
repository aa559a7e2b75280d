// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
)

// tailLines is how many lines go into an error: enough for the cause, few
// enough for a termination message.
const tailLines = 5

// tail forwards Helm's log and remembers its last lines, equal ones once.
type tail struct {
	log   logr.Logger
	mu    sync.Mutex
	lines []string
}

func newTail(log logr.Logger) *tail { return &tail{log: log} }

// printf is Helm's action.DebugLog.
func (t *tail) printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.log.V(1).Info("Helm says", "line", line)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.lines); n > 0 && t.lines[n-1] == line {
		return
	}
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = nil
}

// String returns the lines, oldest first.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "; ")
}
