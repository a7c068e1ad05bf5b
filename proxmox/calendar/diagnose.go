package calendar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A SyntaxError says where a text stops being a calendar event, and what helps.
type SyntaxError struct {
	Text   string // as given to Parse
	Offset int    // in bytes
	Reason string
}

// Error is one line: parse schedule "23:60": at character 4, "60": a minute is 0 to 59.
func (e *SyntaxError) Error() string {
	place := "at its end"
	if rest := e.Text[e.Offset:]; rest != "" {
		if end := strings.IndexAny(rest, " \t,:-"); end > 0 {
			rest = rest[:end]
		}
		place = fmt.Sprintf("at character %d, %q", utf8.RuneCountInString(e.Text[:e.Offset])+1, rest)
	}
	return fmt.Sprintf("parse schedule %q: %s: %s", e.Text, place, e.Reason)
}

const (
	weekdayHint = "a weekday is mon, tue, wed, thu, fri, sat, sun or its full name"
	keywordHint = "a keyword is minutely, hourly, daily, weekly, monthly, quarterly, semiannually or yearly"
)

// A fault is a place in the body of an event and what is wrong there; no reason means no fault.
type fault struct {
	at     int
	reason string
}

func (f fault) moved(by int) fault { return fault{f.at + by, f.reason} }

// diagnose explains why a text did not parse. The parser itself cannot, for it tries several readings; this
// goes by the one that the writer most likely meant. The body is the text from offset start without "UTC".
func diagnose(text string, start int, body string) *SyntaxError {
	f := explain(body)
	return &SyntaxError{Text: text, Offset: start + f.at, Reason: f.reason}
}

func explain(body string) fault {
	if body == "" {
		return fault{0, `an event is expected, such as "daily", "mon..fri 22:00" or "*:0/15"`}
	}
	if isCron(body) {
		return fault{0, `this looks like cron; "30 2 * * 1" is written "mon 2:30" here`}
	}
	if f := misplacedKeyword(body); f.reason != "" {
		return f
	}
	at := 0
	if isLetter(body[0]) {
		var f fault
		if at, f = explainWeekdays(body); f.reason != "" {
			return f
		}
		at += leadingBlanks(body[at:])
	}
	if f := dashedRange(body, at); f.reason != "" {
		return f
	}
	if part := firstWord(body[at:]); strings.Contains(part, "-") && !isLetter(part[0]) {
		if f := explainFields(part, "-", "a date is month-day or year-month-day", years, months, days); f.reason != "" {
			return f.moved(at)
		}
		at += len(part)
		at += leadingBlanks(body[at:])
	}
	if part := firstWord(body[at:]); part != "" && !isLetter(part[0]) {
		if f := explainTime(part); f.reason != "" {
			return f.moved(at)
		}
		at += len(part)
	}
	return explainRest(body, at)
}

// dashedRange explains a dash that was meant for "..": one behind weekdays, or behind an hour.
func dashedRange(body string, at int) fault {
	part := firstWord(body[at:])
	dash, colon := strings.Index(part, "-"), strings.Index(part, ":")
	behindDay := dash == 0 && at > 0 && len(part) > 1 && isLetter(part[1])
	if behindDay || colon >= 0 && dash > colon {
		return fault{at + dash, `a range is written with two dots, as in "mon..fri 8..17:00"`}
	}
	return fault{}
}

// isCron reports whether a text is five or six fields of digits and stars.
func isCron(s string) bool {
	parts := strings.Fields(s)
	return (len(parts) == 5 || len(parts) == 6) && strings.Trim(s, "0123456789*/,- \t") == ""
}

// misplacedKeyword explains a keyword at the beginning that is not the whole body.
func misplacedKeyword(body string) fault {
	word := firstWord(strings.TrimPrefix(body, "@"))
	lower := strings.ToLower(word)
	if _, ok := keyword(lower); !ok {
		return fault{}
	}
	switch rest := strings.TrimSpace(body[len(firstWord(body)):]); {
	case strings.EqualFold(rest, "utc"):
		return fault{len(body) - len(rest), `"UTC" is written in capitals`}
	case rest != "":
		return fault{len(body) - len(rest), fmt.Sprintf("%q stands alone; with a time, leave it out", lower)}
	case word == lower && body[0] != '@':
		return fault{len(word), `only blanks may stand between an event and "UTC"`}
	}
	return fault{0, fmt.Sprintf("write %q, in small letters", lower)}
}

// explainWeekdays returns the length of the list of weekdays in front of body, or what is wrong with it.
func explainWeekdays(body string) (int, fault) {
	at := 0
	for {
		n, f := explainWeekday(body, at)
		if f.reason != "" {
			return 0, f
		}
		at = n
		switch {
		case strings.HasPrefix(body[at:], ".."):
			at += 2
		case strings.HasPrefix(body[at:], ","):
			at++
		default:
			return at, fault{}
		}
	}
}

func explainWeekday(body string, at int) (end int, f fault) {
	if _, rest, ok := parseWeekday(body[at:]); ok {
		return len(body) - len(rest), fault{}
	}
	if at == 0 {
		return 0, fault{0, weekdayHint + "; " + keywordHint}
	}
	return 0, fault{at, weekdayHint}
}

// explainTime checks [hour:]minute[:second].
func explainTime(s string) fault {
	const form = "a time is minute, hour:minute or hour:minute:second"
	if !strings.Contains(s, ":") {
		return explainList(s, minutes)
	}
	if strings.Count(s, ":") == 1 {
		return explainFields(s, ":", form, hours, minutes)
	}
	return explainFields(s, ":", form, hours, minutes, seconds)
}

// explainFields checks lists of the given units with a separator between them; of three units the first may
// be missing.
func explainFields(s, separator, form string, units ...unit) fault {
	parts := strings.Split(s, separator)
	switch {
	case len(parts) == 2 && len(units) == 3:
		units = units[1:]
		if f := explainList(parts[0], years); f.reason == "" && explainList(parts[0], months).reason != "" {
			return fault{len(s), form}
		}
	case len(parts) != len(units):
		return fault{len(strings.Join(parts[:min(len(parts), len(units))], separator)), form}
	}
	at := 0
	for i, part := range parts {
		if f := explainList(part, units[i]); f.reason != "" {
			return f.moved(at)
		}
		at += len(part) + len(separator)
	}
	return fault{}
}

// explainList checks "*", "*/step" or a list of items.
func explainList(s string, u unit) fault {
	if after, ok := strings.CutPrefix(s, "*"); ok {
		step, stepped := strings.CutPrefix(after, "/")
		switch {
		case after == "":
			return fault{}
		case !stepped:
			return fault{1, `"*" stands alone or before a step, as in "*/15"`}
		case strings.Trim(step, "0") == "" && step != "":
			return fault{2, "a step is at least 1"}
		}
		return explainNumber(step, u, stepRule(u)).moved(2)
	}
	at := 0
	for part := range strings.SplitSeq(s, ",") {
		if f := explainItem(part, u); f.reason != "" {
			return f.moved(at)
		}
		at += len(part) + 1
	}
	return fault{}
}

// explainItem checks n, n..m, n/step or n..m/step.
func explainItem(s string, u unit) fault {
	values, step, stepped := strings.Cut(s, "/")
	from, to, ranged := strings.Cut(values, "..")
	if f := explainNumber(from, u, valueRule(u)); f.reason != "" {
		return f
	}
	if ranged {
		if f := explainNumber(to, u, valueRule(u)); f.reason != "" {
			return f.moved(len(from) + 2)
		}
		a, _ := strconv.Atoi(from)
		if b, _ := strconv.Atoi(to); b < a {
			return fault{0, "a range runs upwards; write what is before and after the turn as two"}
		}
	}
	if stepped {
		return explainNumber(step, u, stepRule(u)).moved(len(values) + 1)
	}
	return fault{}
}

// explainNumber checks that s is a number the field can have. The rule says what is one.
func explainNumber(s string, u unit, rule string) fault {
	if digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); digits > 0 {
		return fault{digits, rule + "; lists are like 1,2 or 1..5 or 0/15"}
	}
	if _, rest, ok := parseNumber(s, u); !ok || rest != "" {
		return fault{0, rule}
	}
	return fault{}
}

func valueRule(u unit) string {
	return fmt.Sprintf("%s is a number from %d to %d", u.one, u.min, u.limit-1)
}

func stepRule(u unit) string {
	return fmt.Sprintf("the step of %s is a number from 1 to %d", u.one, u.limit-1)
}

// explainRest explains what stands behind the last part that could be read.
func explainRest(body string, at int) fault {
	at += leadingBlanks(body[at:])
	word := firstWord(body[at:])
	if word == "" {
		return fault{len(strings.TrimRight(body, " \t")), `only blanks may stand between an event and "UTC"`}
	}
	_, _, weekday := parseWeekday(word)
	_, isKeyword := keyword(strings.ToLower(word))
	switch {
	case strings.EqualFold(word, "utc"):
		return fault{at, `"UTC" is written in capitals`}
	case isKeyword:
		return fault{at, "a keyword stands alone; leave it out, or what is before it"}
	case weekday && at > 0 && isLetter(body[0]) && !slices.ContainsFunc([]byte(body[:at]), isDigit):
		return fault{at, "weekdays are joined by a comma: mon,tue"}
	case weekday:
		return fault{at, "weekdays stand first"}
	case isLetter(word[0]):
		return fault{at, `no time zone but "UTC" can be named, and no words but weekdays and keywords`}
	case strings.Contains(word, "-"):
		return fault{at, "the date stands before the time"}
	}
	return fault{at, "an event ends with its time: [weekdays] [[year-]month-day] [[hour:]minute[:second]]"}
}

// firstWord is s up to the first blank.
func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i]
	}
	return s
}

func leadingBlanks(s string) int { return len(s) - len(skipBlanks(s)) }
