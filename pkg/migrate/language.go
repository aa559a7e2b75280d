// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"regexp/syntax"
	"slices"
)

// characters are those of the paths that are looked at: what RFC 3986 (section
// 3.3) lets stand in a path without encoding. The first ones are preferred in
// examples.
const characters = "x/abcdefghijklmnopqrstuvwyz0123456789-_.ABCDEFGHIJKLMNOPQRSTUVWXYZ~!$&'()*+,;=:@"

// maxWork bounds what a comparison may cost, in instructions of patterns that are
// looked at, which is some hundredths of a second; maxPlaces bounds its memory. Two hundred
// rules of the usual form need less than a tenth of both.
const (
	maxWork   = 2_000_000
	maxPlaces = 500_000
)

// errTooComplex is the answer of a comparison that would cost too much.
var errTooComplex = errors.New("the rules are too many, or their paths too complex, to compare them before and after")

// patterns are regular expressions of RE2's syntax, each of which has to match a
// whole path, as they do for Envoy.
type patterns struct {
	programs []*program
	// round is the number of the set of places that is being made, work is what
	// all of it has cost.
	round, work int
}

// program is one compiled pattern.
type program struct {
	instructions []syntax.Inst
	start        int
	// takes holds for each instruction which characters it takes; nil if none.
	takes []*characterSet
	// reached holds for each instruction the round in which it was reached last.
	reached []int
}

// characterSet has a bit for each of characters.
type characterSet [2]uint64

func (s *characterSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// add compiles a pattern. It fails for what RE2 does not know, and for word
// boundaries, which say something about two characters.
func (p *patterns) add(pattern string) error {
	expression, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("reading a regular expression: %w", err)
	}
	compiled, err := syntax.Compile(expression.Simplify())
	if err != nil {
		return fmt.Errorf("compiling a regular expression: %w", err)
	}
	added := &program{
		instructions: compiled.Inst, start: compiled.Start,
		takes: make([]*characterSet, len(compiled.Inst)), reached: make([]int, len(compiled.Inst)),
	}
	for pc := range compiled.Inst {
		instruction := &compiled.Inst[pc]
		switch instruction.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			added.takes[pc] = taken(instruction)
		case syntax.InstEmptyWidth:
			if asserts(instruction)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
				return errors.New("reading a regular expression: word boundaries are not supported")
			}
		default:
		}
	}
	p.programs = append(p.programs, added)
	return nil
}

func taken(instruction *syntax.Inst) *characterSet {
	set := &characterSet{}
	for i, character := range []byte(characters) {
		if instruction.MatchRune(rune(character)) {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return set
}

// asserts returns what an instruction asserts that takes no character.
func asserts(instruction *syntax.Inst) syntax.EmptyOp {
	return syntax.EmptyOp(instruction.Arg) //nolint:gosec // that is what the argument is, of syntax.InstEmptyWidth
}

// place is an instruction of a program.
type place struct{ program, pc int }

// each calls visit for every set of patterns that some path matches together,
// with the shortest of these paths. Sets come more than once, in the order of the
// length of the path. It walks the deterministic automaton of all patterns at
// once in breadth, so there is no path that it misses. The error is
// [errTooComplex].
func (p *patterns) each(visit func(path string, matched []int)) error {
	type state struct {
		places []place
		path   string
	}
	p.round++
	var start []place
	for i, program := range p.programs {
		start = p.follow(start, place{i, program.start}, syntax.EmptyBeginText|syntax.EmptyBeginLine)
	}
	const slash = 1 // its index in characters
	first := state{places: p.step(start, slash), path: "/"}
	queue, seen, kept := []state{first}, map[string]bool{key(first.places): true}, 0
	for len(queue) > 0 {
		current := queue[0]
		queue = queue[1:]
		visit(current.path, p.accepted(current.places))
		for _, character := range p.distinguished(current.places) {
			next := state{places: p.step(current.places, character), path: current.path + characters[character:character+1]}
			if id := key(next.places); !seen[id] {
				seen[id] = true
				queue = append(queue, next)
				kept += len(next.places) + 1
			}
			if p.work > maxWork || kept > maxPlaces {
				return errTooComplex
			}
		}
	}
	return nil
}

// distinguished returns one of the characters of each kind that the places can
// tell apart, as indexes.
func (p *patterns) distinguished(places []place) []int {
	blocks := []characterSet{{^uint64(0), 1<<(len(characters)-64) - 1}}
	for _, at := range places {
		set := p.programs[at.program].takes[at.pc]
		if set == nil {
			continue
		}
		for i := range blocks {
			in := characterSet{blocks[i][0] & set[0], blocks[i][1] & set[1]}
			out := characterSet{blocks[i][0] &^ set[0], blocks[i][1] &^ set[1]}
			if in != (characterSet{}) && out != (characterSet{}) {
				blocks[i] = in
				blocks = append(blocks, out)
			}
		}
	}
	chosen := make([]int, 0, len(blocks))
	for _, block := range blocks {
		first := bits.TrailingZeros64(block[0])
		if block[0] == 0 {
			first = 64 + bits.TrailingZeros64(block[1])
		}
		chosen = append(chosen, first)
	}
	slices.Sort(chosen)
	return chosen
}

// step returns where the places lead by a character, in a fixed order.
func (p *patterns) step(places []place, character int) []place {
	p.round++
	p.work += len(places) + 1
	var next []place
	for _, at := range places {
		program := p.programs[at.program]
		if set := program.takes[at.pc]; set != nil && set.has(character) {
			next = p.follow(next, place{at.program, int(program.instructions[at.pc].Out)}, 0)
		}
	}
	slices.SortFunc(next, func(a, b place) int { return cmp.Or(a.program-b.program, a.pc-b.pc) })
	return next
}

// follow adds where the place leads without a character, if the assertions of
// allowed hold: instructions that take a character, that match, or that assert
// something which may hold at the end.
func (p *patterns) follow(places []place, at place, allowed syntax.EmptyOp) []place {
	program := p.programs[at.program]
	for pending := []int{at.pc}; len(pending) > 0; {
		pc := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if program.reached[pc] == p.round {
			continue
		}
		program.reached[pc] = p.round
		p.work++
		instruction := &program.instructions[pc]
		switch instruction.Op {
		case syntax.InstFail:
		case syntax.InstAlt, syntax.InstAltMatch:
			pending = append(pending, int(instruction.Out), int(instruction.Arg))
		case syntax.InstCapture, syntax.InstNop:
			pending = append(pending, int(instruction.Out))
		case syntax.InstEmptyWidth:
			if asserts(instruction)&^allowed == 0 {
				pending = append(pending, int(instruction.Out))
			} else {
				places = append(places, place{at.program, pc})
			}
		default:
			places = append(places, place{at.program, pc})
		}
	}
	return places
}

// accepted returns which patterns match a path that ends here, in their order.
func (p *patterns) accepted(places []place) []int {
	p.round++
	var matched []int
	for _, at := range places {
		if len(matched) > 0 && matched[len(matched)-1] == at.program {
			continue
		}
		for _, reached := range p.follow(nil, at, syntax.EmptyEndText|syntax.EmptyEndLine) {
			if p.programs[reached.program].instructions[reached.pc].Op == syntax.InstMatch {
				matched = append(matched, at.program)
				break
			}
		}
	}
	return matched
}

// key tells sets of places apart.
func key(places []place) string {
	id := make([]byte, 0, 3*len(places))
	for _, at := range places {
		id = binary.AppendVarint(binary.AppendVarint(id, int64(at.program)), int64(at.pc))
	}
	return string(id)
}
