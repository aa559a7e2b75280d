// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"
)

const (
	// cell is the side of the squares that two pictures are compared by. The mean of a
	// square hardly knows how a browser's version smooths letters.
	cell = 8
	// far is by how much the mean of a square differs where one sees it, of 255.
	far = 24
	// Tolerance is the share of squares that may differ between two browsers that show
	// the same page.
	Tolerance = 0.01
)

// Pictured is the font of the pictures that are kept. Debian's packages bring it along.
const Pictured = "DejaVu Sans"

// Font returns the family of the font that the heading is drawn with. Pictures are
// comparable only where it is the same: every line has another length with another.
func Font(ctx context.Context) (string, error) {
	var family string
	err := chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		for _, enable := range []interface{ Do(context.Context) error }{dom.Enable(), css.Enable()} {
			if err := enable.Do(ctx); err != nil {
				return err
			}
		}
		var nodes []*cdp.Node
		if err := chromedp.Nodes("h1", &nodes, chromedp.ByQuery).Do(ctx); err != nil {
			return err
		}
		fonts, err := css.GetPlatformFontsForNode(nodes[0].NodeID).Do(ctx)
		if err == nil && len(fonts) > 0 {
			family = fonts[0].FamilyName
		}
		return err
	}))
	return family, err
}

// Compare holds a picture as PNG against the one that is kept in a file, or writes that
// file. What was seen instead is beside the test's other files, for people to look at.
func Compare(t testing.TB, file string, shot []byte, update bool) {
	t.Helper()
	now, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatalf("reading the picture for %s: %v", file, err)
	}
	if update {
		if err := write(file, now); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	share := Difference(kept, now)
	t.Logf("%s: %.2f%% of it differ", file, 100*share)
	if share <= Tolerance {
		return
	}
	seen := filepath.Join(os.TempDir(), "extauth-guard-"+filepath.Base(file)) //nolint:usetesting // it is there for people when the test is over
	if err := os.WriteFile(seen, shot, 0o600); err != nil {
		t.Error(err)
	}
	t.Errorf("%.1f%% of the picture differ from %s, and at most %.0f%% may; look at %s, and if it is right run the test with -update", 100*share, file, 100*Tolerance, seen)
}

// Difference is the share of squares in which two pictures differ visibly; pictures whose
// sizes differ by more than a few lines differ in everything that only one of them has.
func Difference(a, b image.Image) float64 {
	wide, high := max(a.Bounds().Dx(), b.Bounds().Dx()), max(a.Bounds().Dy(), b.Bounds().Dy())
	left, right := pixels(a), pixels(b)
	all, differ := 0, 0
	for y := 0; y < high; y += cell {
		for x := 0; x < wide; x += cell {
			all++
			one, two := mean(left, x, y), mean(right, x, y)
			for channel := range one {
				if math.Abs(one[channel]-two[channel]) > far {
					differ++
					break
				}
			}
		}
	}
	return float64(differ) / float64(all)
}

// mean is the mean colour of a square. Outside the picture it is like nothing else.
func mean(of *image.RGBA, x, y int) [3]float64 {
	square := image.Rect(x, y, x+cell, y+cell).Intersect(of.Rect)
	if square.Empty() {
		return [3]float64{-255, -255, -255}
	}
	var sum [3]float64
	for y := square.Min.Y; y < square.Max.Y; y++ {
		for x := square.Min.X; x < square.Max.X; x++ {
			at := of.PixOffset(x, y)
			for channel := range sum {
				sum[channel] += float64(of.Pix[at+channel])
			}
		}
	}
	count := float64(square.Dx() * square.Dy())
	return [3]float64{sum[0] / count, sum[1] / count, sum[2] / count}
}

// pixels is the picture in the form in which looking at a pixel costs nothing.
func pixels(of image.Image) *image.RGBA {
	if already, ok := of.(*image.RGBA); ok {
		return already
	}
	out := image.NewRGBA(of.Bounds())
	draw.Draw(out, out.Rect, of, out.Rect.Min, draw.Src)
	return out
}

func read(file string) (image.Image, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the picture that is kept: %w; run the test with -update to make it", err)
	}
	return png.Decode(bytes.NewReader(raw))
}

// write writes a picture small: in at most 32 colours.
func write(file string, picture image.Image) error {
	few := image.NewPaletted(picture.Bounds(), frequent(picture, 32))
	for y := few.Rect.Min.Y; y < few.Rect.Max.Y; y++ {
		for x := few.Rect.Min.X; x < few.Rect.Max.X; x++ {
			few.Set(x, y, picture.At(x, y))
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// frequent returns the colours that a picture has most of.
func frequent(picture image.Image, most int) color.Palette {
	counts := map[color.Color]int{}
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			counts[picture.At(x, y)]++
		}
	}
	colours := make(color.Palette, 0, len(counts))
	for one := range counts {
		colours = append(colours, one)
	}
	slices.SortFunc(colours, func(a, b color.Color) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return int(rank(a)) - int(rank(b))
	})
	return colours[:min(most, len(colours))]
}

// rank gives colours an order, so that the same picture makes the same file.
func rank(of color.Color) uint32 {
	red, green, blue, _ := of.RGBA()
	return (red>>8)<<16 | (green>>8)<<8 | blue>>8
}
