// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chromium opens pages in a real browser, looks at where it puts things, and
// compares its pictures with those that are kept.
package chromium

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience bounds one browser. A page takes about a second; a machine that does other
// work beside it can need very much longer.
const patience = 5 * time.Minute

// programs are tried in this order. The first is Debian's package chromium-headless-shell.
// What that package has in /usr/bin is a script that waits for the browser: it would be
// ended instead of the browser, which would go on alone.
var programs = []string{"/usr/lib/chromium/chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}

// Start starts a browser that ends with the test. The test is skipped, with the reason,
// where there is none.
func Start(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range programs {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("skipped: there is no Chromium here; Debian's package chromium-headless-shell has one")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to be root with one
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// Screen is what a page is shown on: a telephone or a desk, by day or by night.
type Screen struct {
	Width  int64
	Scheme string
}

// Screens are the four that every page is looked at on.
func Screens() []Screen {
	return []Screen{{390, "light"}, {390, "dark"}, {1280, "light"}, {1280, "dark"}}
}

func (s Screen) String() string { return fmt.Sprintf("%d-%s", s.Width, s.Scheme) }

// Narrow is true for the telephone.
func (s Screen) Narrow() bool { return s.Width < 500 }

// Emulate shows what comes after it on the screen.
func (s Screen) Emulate() chromedp.Action {
	return chromedp.Tasks{
		emulation.SetDeviceMetricsOverride(s.Width, 800, 1, s.Narrow()),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.Scheme}}),
	}
}
