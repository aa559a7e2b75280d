// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// block is a block of commands on a page.
type block struct {
	line     int
	commands []command
	// reason says why it cannot run; "" for one that can.
	reason string
}

// command is one command, and what the page says that it prints, if it says so.
type command struct{ text, answer string }

// fence finds blocks of a shell, with the mark before them. A block of "console" has "$ "
// before its commands, and answers below them.
var fence = regexp.MustCompile("(?ms)^(?:<!-- not run: ([^\n]+) -->\n+)?```(sh|bash|shell|console)\n(.*?)^```")

// blocks returns the blocks of a page, in their order.
func blocks(page string) []block {
	var all []block
	for _, at := range fence.FindAllStringSubmatchIndex(page, -1) {
		found := block{line: strings.Count(page[:at[4]], "\n") + 1}
		if at[2] >= 0 {
			found.reason = page[at[2]:at[3]]
		}
		console := page[at[4]:at[5]] == "console"
		for line := range strings.Lines(strings.ReplaceAll(page[at[6]:at[7]], "\\\n", " ")) {
			line = strings.TrimSpace(line)
			text, typed := strings.CutPrefix(line, "$ ")
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case !console || typed:
				found.commands = append(found.commands, command{text: text})
			case len(found.commands) > 0:
				found.commands[len(found.commands)-1].answer += line + "\n"
			}
		}
		all = append(all, found)
	}
	return all
}

func TestBlocks(t *testing.T) {
	page := "text\n```sh\na \\\n  --b\n# no command\n\nc\n```\n```yaml\nno: command\n```\n<!-- not run: needs a moon -->\n\n```sh\nd\n```\n\n```console\n$ e\nsays\nso\n$ f\n```\n"
	assert.Equal(t, []block{
		{line: 2, commands: []command{{text: "a    --b"}, {text: "c"}}},
		{line: 14, commands: []command{{text: "d"}}, reason: "needs a moon"},
		{line: 18, commands: []command{{text: "e", answer: "says\nso\n"}, {text: "f"}}},
	}, blocks(page))
}
