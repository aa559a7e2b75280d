// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	_ "embed"
	"fmt"

	"github.com/chromedp/chromedp"
)

//go:embed layout.js
var layout string

// Layout looks at the page that is open and puts into complaints what is wrong with how
// it is laid out on the screen: what runs off it, text over text, text too pale to read,
// buttons too small for a finger. It depends on no font.
func Layout(screen Screen, complaints *[]string) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf("(%s)(%t)", layout, screen.Narrow()), complaints)
}
