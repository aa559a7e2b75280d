// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"io"
	"sync"
)

// tailSize is enough for the sentence a program ends with and what led to it.
const tailSize = 1 << 10

// A tail passes on what is written to it and remembers the end of it, so that the
// error about a program that did not start can say what the program said.
type tail struct {
	next io.Writer // may be nil

	mu  sync.Mutex
	end []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append([]byte(nil), t.end[over:]...)
	}
	if t.next == nil {
		return len(p), nil
	}
	return t.next.Write(p)
}

// String returns the end of what was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.end)
}
