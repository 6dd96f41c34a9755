package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// V30: the fast parser of responses accepts what a slow and simple one accepts, and finds
// the same texts.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{
		`{"R":{"S":{"Arn":"a","Account":"b","UserId":"c"}}}`,
		` { "R" : { "S" : { "Arn" : "a\u0041\n" , "x":[1,-2.5e3,true,null,{"y":"z"}] } , "m":{} } } `,
		`{"":{"R":{"S":{"Arn":"a"}}}}`, `{"R":{"":{"S":{"Arn":"a"}}}}`, `{"R/S":{"Arn":"a"}}`, `{"R":[{"S":{"Arn":"a"}}]}`,
		`{"R":{"S":{"Arn":"a","arn":"b"}}}`, `{"R":{},"r":{}}`, `{"\u0052":{"S":{"Arn":"a"}}}`, `{"R":{},"\u0052":{}}`,
		`{"k":1,"\u212a":2}`, `{"s":1,"ſ":2}`, `{"R":{"S":"x"}}`, `{"R":{"S":{"Arn":1,"Account":{"Arn":"q"}}}}`,
		`{"R":1}x`, `{"R":1}{}`, `[]`, `"x"`, `{`, `{"a":1,}`, `{"a" 1}`, `{'a':1}`, `[[[[[[[[[[]]]]]]]]]]`, `{"a":[[[[[[[[1]]]]]]]]}`,
		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"H":1}`, "{\"a\":\"\xff\"}", "", " ", `{"R":{"S":{"Arn":"\ud800"}}}`,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"R":{"S":{"UserId":"u"}}}`, `{"Arn":"top"}`, `null`, `{"R":null}`,
	} {
		f.Add([]byte(s))
	}
	fields := []string{"Arn", "Account", "UserId"}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := strictJSON(body, []string{"R", "S"}, fields...)
		doc, slowErr := slowJSON(body)
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("%q: %v, want %v", body, err, slowErr)
		}
		if err != nil {
			if got != nil {
				t.Fatalf("%q: an error and %q", body, got)
			}
			return
		}
		var want []string
		for _, field := range fields {
			text, _ := doc.object("R").object("S").text(field)
			want = append(want, text)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", body, got, want)
		}
	})
}

func TestStrictJSONNamesTheReason(t *testing.T) {
	for text, want := range map[string]error{
		"{\"a\":\"\xff\"}": errNotUTF8, `{"a":1}x`: errNotJSON, `[]`: errNotJSON, `{"a":1,"A":2}`: errTwin, `{"a":[[[[[[[[1]]]]]]]]}`: errDepth,
	} {
		if _, err := strictJSON([]byte(text), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// document is a JSON object whose keys are unique even when case is ignored.
type document map[string]any

// object returns the object with exactly this key, or an empty one.
func (d document) object(key string) document {
	o, _ := d[key].(document)
	return o
}

func (d document) text(key string) (string, bool) {
	s, ok := d[key].(string)
	return s, ok && s != ""
}

// slowJSON is strictJSON by way of json.Decoder.
func slowJSON(body []byte) (document, error) {
	if !utf8.Valid(body) {
		return nil, errNotUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	value, err := readValue(dec, 0)
	if err != nil {
		return nil, err
	}
	doc, ok := value.(document)
	if !ok {
		return nil, errNotJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return doc, nil
}

func readValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, errNotJSON
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxJSONDepth {
		return nil, errDepth
	}
	if delim == '[' {
		return readArray(dec, depth)
	}
	return readObject(dec, depth)
}

func readObject(dec *json.Decoder, depth int) (any, error) {
	doc, folded := document{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		if fold := strings.ToLower(strings.ToUpper(key)); folded[fold] {
			return nil, errTwin
		} else {
			folded[fold] = true
		}
		if doc[key], err = readValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotJSON
	}
	return doc, nil
}

func readArray(dec *json.Decoder, depth int) (any, error) {
	var list []any
	for dec.More() {
		v, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotJSON
	}
	return list, nil
}
