// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// Poll calls look until it says that there is nothing to wait for any more, which
// is an empty string, or returns an error. When the context ends first, the error
// says what was last waited for.
func Poll(ctx context.Context, clock clock.Clock, interval time.Duration, look func(context.Context) (string, error)) error {
	for {
		waiting, err := look(ctx)
		if err != nil || waiting == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", waiting, ctx.Err())
		case <-clock.After(interval):
		}
	}
}
