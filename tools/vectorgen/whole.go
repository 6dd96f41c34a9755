package main

import (
	"encoding/base64"
	"strings"
)

// wholeTokens break the rules about the token as such, before there is a URL.
func wholeTokens() ([]vector, error) {
	plain, err := sign(request{})
	if err != nil {
		return nil, err
	}
	tooLong, err := ofLength(16385)
	if err != nil {
		return nil, err
	}
	// The length of this URL leaves one character of padding, and its ? and ~
	// fall where they become the two characters that base64url has of its own.
	special, err := sign(request{host: "sts.amazonaws.com", region: "us-east-1", session: tildes})
	if err != nil {
		return nil, err
	}
	good := encode(plain)
	body := strings.TrimPrefix(good, prefix)
	half := len(body) / 2
	standard := prefix + base64.RawStdEncoding.EncodeToString([]byte(special))
	strayBits := func(u string) string {
		// With two bytes in the last group, the last character has two bits to
		// spare, which the good encoding leaves at zero.
		text := encode(u)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, text[len(text)-1])
		return text[:len(text)-1] + alphabet[last|1:last|1+1]
	}
	twoOver := withRest(plain, 2)
	oneOver := withRest(plain, 1)

	rows := []struct{ name, token string }{
		{"v01-length-16385", tooLong},
		{"v01-length-20000-of-anything", strings.Repeat("A", 20000)},

		{"v02-empty", ""},
		{"v02-other-version", "k8s-aws-v2." + body},
		{"v02-upper-case", "K8S-AWS-V1." + body},
		{"v02-upper-case-k", "K8s-aws-v1." + body},
		{"v02-leading-space", " " + good},
		{"v02-leading-tab", "\t" + good},
		{"v02-leading-newline", "\n" + good},
		{"v02-leading-nul", "\x00" + good},
		{"v02-leading-byte-order-mark", "\ufeff" + good},
		{"v02-bearer", "Bearer " + good},
		{"v02-quoted", `"` + good + `"`},
		{"v02-no-prefix", body},
		{"v02-no-dot", "k8s-aws-v1" + body},
		{"v02-half-a-prefix", "k8s-aws-v"},
		{"v02-look-alike-letter", "k8s-\u0430ws-v1." + body},
		{"v02-kelvin-sign", "\u212a8s-aws-v1." + body},
		{"v02-bare-url", plain},
		{"v02-json-web-token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkZW1vIn0."},

		{"v03-padded", prefix + base64.URLEncoding.EncodeToString([]byte(twoOver))},
		{"v03-padded-twice", prefix + base64.URLEncoding.EncodeToString([]byte(oneOver))},
		{"v03-padding-where-none-belongs", encode(withRest(plain, 0)) + "="},
		{"v03-padding-in-the-middle", prefix + body[:half] + "=" + body[half:]},
		{"v03-standard-alphabet", standard},
		{"v03-standard-alphabet-slash", strings.ReplaceAll(standard, "+", "-")},
		{"v03-standard-alphabet-plus", strings.ReplaceAll(standard, "/", "_")},
		{"v03-newline-inside", prefix + body[:half] + "\n" + body[half:]},
		{"v03-newline-at-end", good + "\n"},
		{"v03-carriage-return-inside", prefix + body[:half] + "\r" + body[half:]},
		{"v03-carriage-return-newline-at-end", good + "\r\n"},
		{"v03-only-a-newline", prefix + "\n"},
		{"v03-space-inside", prefix + body[:half] + " " + body[half:]},
		{"v03-space-at-end", good + " "},
		{"v03-tab-inside", prefix + body[:half] + "\t" + body[half:]},
		{"v03-nul-at-end", good + "\x00"},
		{"v03-stray-bits-of-two", strayBits(twoOver)},
		{"v03-stray-bits-of-four", strayBits(oneOver)},
		{"v03-one-character-too-many", encode(withRest(plain, 0)) + "A"},
		{"v03-length-16384", prefix + strings.Repeat("A", 16384-len(prefix))},
		{"v03-prefix-twice", prefix + good},
		{"v03-dot-at-end", good + "."},
		{"v03-three-parts", good + ".e30.AAAA"},
		{"v03-two-tokens", good + "," + good},
		{"v03-percent-encoded", prefix + "%61" + body[1:]},
		{"v03-letter-outside-ascii", prefix + body[:half] + "\u00e9" + body[half:]},
		{"v03-byte-outside-utf8", prefix + body[:half] + "\xff" + body[half:]},
		{"v03-plain-url", prefix + plain},

		{"v05-empty", prefix},
	}
	out := make([]vector, 0, len(rows))
	for _, r := range rows {
		out = append(out, vector{name: r.name, token: r.token})
	}
	return out, nil
}

// tildes is a session token that has a ~ at each place of a group of three.
const tildes = "AAAA~AAAA~AAAA~AAA"

// withRest gives a URL whose length leaves rest when divided by three, by a
// session token that is appended.
func withRest(u string, rest int) string {
	u += "&X-Amz-Security-Token=A"
	for len(u)%3 != rest {
		u += "A"
	}
	return u
}
