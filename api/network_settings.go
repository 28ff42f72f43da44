package api

import (
	"context"
	"strings"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// GetNetworkSettings answers GET …/networkSettings.
func (s *Server) GetNetworkSettings(ctx context.Context, r oapi.GetNetworkSettingsRequestObject) (oapi.GetNetworkSettingsResponseObject, error) {
	row, err := s.queries.ProtectedItem(ctx, r.Vault, r.Item)
	if row, err = found(row, err, errorcatalog.ProtectedItemNotFound, "protected item "+r.Item); err != nil {
		return nil, err
	}
	body, err := s.networkSettingsOf(ctx, row)
	if err != nil {
		return nil, err
	}
	return oapi.GetNetworkSettings200JSONResponse{NetworkSettingsReadJSONResponse: oapi.NetworkSettingsReadJSONResponse{
		Body: body, Headers: oapi.NetworkSettingsReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutNetworkSettings answers PUT …/networkSettings.
func (s *Server) PutNetworkSettings(ctx context.Context, r oapi.PutNetworkSettingsRequestObject) (oapi.PutNetworkSettingsResponseObject, error) {
	key := r.Vault + "." + r.Item
	before, _, err := s.protectedItems.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	nics, err := s.nicsFrom(ctx, r.Vault, before.Recovery.Site, r.Body.Nics)
	if err != nil {
		return nil, err
	}
	cmd := protecteditem.ChangeNetworkSettings{NICs: nics, At: s.now()}
	d, _, err := execute(ctx, s, s.protectedItems, key, protecteditem.Command(cmd),
		request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	if err != nil {
		return nil, repoint(err, nicField)
	}
	state, version, err := s.protectedItems.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	body, err := s.networkSettingsOf(ctx, itemRow{Vault: r.Vault, ID: r.Item, State: state, Version: version})
	if err != nil {
		return nil, err
	}
	return oapi.PutNetworkSettings200JSONResponse{NetworkSettingsReadJSONResponse: oapi.NetworkSettingsReadJSONResponse{
		Body: body, Headers: oapi.NetworkSettingsReadResponseHeaders{ETag: &body.Etag, XEventPosition: d.at()},
	}}, nil
}

// nicsFrom finds the networks of the recovery site that settings name.
func (s *Server) nicsFrom(ctx context.Context, vault, recoverySite string, in []oapi.NICSettings) ([]protecteditem.NICSettings, error) {
	if len(in) == 0 {
		return nil, nil
	}
	state, _, err := s.sites.Load(ctx, vault+"."+recoverySite)
	if err != nil {
		return nil, err
	}
	known := state.KnownNetworks()
	return each(in, func(n oapi.NICSettings) protecteditem.NICSettings {
		out := protecteditem.NICSettings{NIC: n.Nic, Network: value(n.Network), Disconnected: value(n.DoNotConnect), Primary: value(n.Primary)}
		if there, ok := site.FindNetwork(known, out.Network); ok {
			out.Network, out.NetworkName = there.ID, there.Name
		}
		if a := n.Address; a != nil {
			out.Address = &site.Address{Type: site.AddressType(a.Type), IP: value(a.IP), Subnet: value(a.Subnet), Gateway: value(a.Gateway), DNS: value(a.DNS)}
		}
		return out
	}), nil
}

// nicField names in the body what the command calls otherwise.
func nicField(field string) string {
	return strings.Replace(field, "/disconnected", "/doNotConnect", 1)
}

func (s *Server) networkSettingsOf(ctx context.Context, row itemRow) (oapi.NetworkSettings, error) {
	st := row.State
	out := oapi.NetworkSettings{Item: row.ID, Nics: []oapi.PlannedNIC{}, Etag: itemETag(int64(st.Cycle), row.Version)}
	plan, err := s.planOf(ctx, st)
	if err != nil {
		return out, err
	}
	for i, planned := range plan.NICs {
		source := st.VM.NICs[i]
		nic := oapi.PlannedNIC{
			Nic: source.Name, SourceNetwork: optional(source.Network), SourceAddress: addressOf(source.Address), TargetNetwork: optional(planned.Network),
			TargetAddress: addressOf(planned.Address), Primary: &planned.Primary, Mapping: optional(planned.Mapping), Findings: []oapi.Finding{},
		}
		addSettings(&nic, st)
		for _, f := range plan.Findings {
			if f.NIC == source.Name {
				nic.Findings = append(nic.Findings, findingOf(f.Code, f.Detail, st.NetworksCheckedAt))
			}
		}
		out.Nics = append(out.Nics, nic)
	}
	return out, nil
}

// addSettings adds what was set for an adapter, and how it was made when the VM was
// failed over.
func addSettings(nic *oapi.PlannedNIC, st protecteditem.State) {
	for _, set := range st.NICs {
		if set.NIC == nic.Nic {
			nic.Settings = new(nicSettingsOf(set))
		}
	}
	if st.Recovery.VM == "" {
		return
	}
	for _, made := range st.RecoveryNICs() {
		if made.Name == nic.Nic {
			nic.Recovered = new(nicOf(made))
		}
	}
}

func nicSettingsOf(set protecteditem.NICSettings) oapi.NICSettings {
	out := oapi.NICSettings{Nic: set.NIC, Network: optional(set.Network)}
	if set.Disconnected {
		out.DoNotConnect = new(true)
	}
	if set.Primary {
		out.Primary = new(true)
	}
	if a := set.Address; a != nil {
		out.Address = &oapi.AddressInput{Type: oapi.AddressType(a.Type), IP: optional(a.IP), Subnet: optional(a.Subnet), Gateway: optional(a.Gateway)}
		if len(a.DNS) > 0 {
			out.Address.DNS = &a.DNS
		}
	}
	return out
}

func addressOf(a *site.Address) *oapi.Address {
	if a == nil {
		return nil
	}
	out := &oapi.Address{Type: string(a.Type), IP: optional(a.IP), Subnet: optional(a.Subnet), Gateway: optional(a.Gateway)}
	if len(a.DNS) > 0 {
		out.DNS = &a.DNS
	}
	return out
}

// networkWarnings tells what a failover that is only to be checked would leave
// behind.
func networkWarnings(findings []protecteditem.NetworkFinding) []oapi.Finding {
	return each(findings, func(f protecteditem.NetworkFinding) oapi.Finding {
		return *undated(&errorcatalog.Failure{Code: f.Code, Detail: f.Detail})
	})
}

// validated answers a request that was found good, with warnings if there are any.
func validated(warnings []oapi.Finding) oapi.ValidatedJSONResponse {
	out := oapi.ValidatedJSONResponse{Valid: true}
	if len(warnings) > 0 {
		out.Warnings = &warnings
	}
	return out
}

// itemPlan is how a failover of an item would connect its VM; nothing when it was
// never protected.
func (s *Server) itemPlan(ctx context.Context, vault, item string) (protecteditem.NetworkPlan, error) {
	state, version, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil || version == 0 {
		return protecteditem.NetworkPlan{}, err
	}
	return s.planOf(ctx, state)
}
