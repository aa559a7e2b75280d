// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chromium

import (
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// page is a picture of the report, as it is kept.
func page(t *testing.T, name string) *image.RGBA {
	t.Helper()
	kept, err := read(checkout.Path(t, "test/static/html/testdata/"+name+".png"))
	require.NoError(t, err)
	return moved(kept, image.Point{})
}

// moved returns a picture whose content begins elsewhere.
func moved(picture image.Image, by image.Point) *image.RGBA {
	at := image.NewRGBA(picture.Bounds())
	draw.Draw(at, at.Rect, picture, at.Rect.Min, draw.Src)
	draw.Draw(at, at.Rect.Add(by), picture, at.Rect.Min, draw.Src)
	return at
}

// smoothed is what another version of a browser makes of letters: each pixel takes from
// those beside it.
func smoothed(picture *image.RGBA) *image.RGBA {
	out := image.NewRGBA(picture.Rect)
	for y := picture.Rect.Min.Y; y < picture.Rect.Max.Y; y++ {
		for x := picture.Rect.Min.X; x < picture.Rect.Max.X; x++ {
			left, here, right := picture.RGBAAt(x-1, y), picture.RGBAAt(x, y), picture.RGBAAt(x+1, y)
			blend := func(a, b, c uint8) uint8 { return uint8((int(a) + 2*int(b) + int(c)) / 4) }
			out.SetRGBA(x, y, color.RGBA{blend(left.R, here.R, right.R), blend(left.G, here.G, right.G), blend(left.B, here.B, right.B), 255})
		}
	}
	return out
}

// without is the picture with a part of it empty.
func without(picture *image.RGBA, part image.Rectangle) *image.RGBA {
	out := moved(picture, image.Point{})
	draw.Draw(out, part, image.NewUniform(picture.At(0, 0)), image.Point{}, draw.Src)
	return out
}

func TestWhatCountsAsAnotherPicture(t *testing.T) {
	for _, name := range []string{"390-light", "390-dark", "1280-light", "1280-dark"} {
		kept := page(t, name)
		middle := image.Rect(0, 200, kept.Rect.Max.X, 600)
		for what, now := range map[string]*image.RGBA{"the same": kept, "letters smoothed otherwise": smoothed(kept)} {
			share := Difference(kept, now)
			t.Logf("%s, %s: %.2f%%", name, what, 100*share)
			assert.LessOrEqual(t, share, Tolerance, "%s, %s", name, what)
		}
		for what, now := range map[string]*image.RGBA{
			"half a line lower": moved(kept, image.Pt(0, 11)), "the tiles are gone": without(kept, middle),
			"a shorter page": kept.SubImage(image.Rect(0, 0, kept.Rect.Max.X, kept.Rect.Max.Y-100)).(*image.RGBA),
		} {
			share := Difference(kept, now)
			t.Logf("%s, %s: %.2f%%", name, what, 100*share)
			assert.Greater(t, share, Tolerance, "%s, %s", name, what)
		}
	}
	assert.Greater(t, Difference(page(t, "1280-light"), page(t, "1280-dark")), 0.9)
}

func TestWhatIsKeptIsSmallAndTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept.png")
	picture := page(t, "390-light")
	require.NoError(t, write(file, picture))
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Less(t, len(first), 60_000)
	require.NoError(t, write(file, picture))
	second, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, first, second)
	kept, err := read(file)
	require.NoError(t, err)
	assert.Zero(t, Difference(picture, kept))
	_, err = read(filepath.Join(t.TempDir(), "none.png"))
	assert.ErrorContains(t, err, "-update")
}
