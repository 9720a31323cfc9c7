// Asks the reference implementation (libcni): which names does it take, and what does each result of results.json look
// like in every version of the spec? scripts/record-results.sh records the answers.
//
//	go run . names <names.json     go run . results <results.json
package main

import (
	"encoding/json"
	"os"

	"github.com/containernetworking/cni/pkg/types"
	_ "github.com/containernetworking/cni/pkg/types/020"
	_ "github.com/containernetworking/cni/pkg/types/040"
	_ "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
)

// What a name is refused for, by what it would be the name of; empty if it is taken.
type nameVerdict struct {
	Name      string `json:"name"`
	Container string `json:"container"`
	Network   string `json:"network"`
	Interface string `json:"interface"`
}

type resultInput struct {
	Name   string          `json:"name"`
	Result json.RawMessage `json:"result"`
}

type conversions struct {
	resultInput
	// By version: a result, or a text that says why there is none.
	As map[string]any `json:"as"`
}

func main() {
	switch os.Args[1] {
	case "names":
		answer(verdicts(read[[]string]()))
	case "results":
		answer(converted(read[[]resultInput]()))
	default:
		panic("names or results?")
	}
}

func verdicts(names []string) []nameVerdict {
	all := []nameVerdict{}
	for _, name := range names {
		all = append(all, nameVerdict{
			Name:      name,
			Container: text(utils.ValidateContainerID(name)),
			Network:   text(utils.ValidateNetworkName(name)),
			Interface: text(utils.ValidateInterfaceName(name)),
		})
	}
	return all
}

func text(err *types.Error) string {
	if err == nil {
		return ""
	}
	return err.Msg
}

func converted(inputs []resultInput) []conversions {
	all := []conversions{}
	for _, input := range inputs {
		as := map[string]any{}
		for _, to := range version.All.SupportedVersions() {
			as[to] = convert(input.Result, to)
		}
		all = append(all, conversions{input, as})
	}
	return all
}

func convert(document []byte, to string) any {
	result, err := create.CreateFromBytes(document)
	if err != nil {
		return err.Error()
	}
	result, err = result.GetAsVersion(to)
	if err != nil {
		return err.Error()
	}
	return result
}

func read[T any]() T {
	var value T
	if err := json.NewDecoder(os.Stdin).Decode(&value); err != nil {
		panic(err)
	}
	return value
}

func answer(value any) {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
}
