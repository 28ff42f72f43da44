package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/projections"
)

// ListVirtualMachines answers GET …/sites/{site}/virtualMachines.
func (s *Server) ListVirtualMachines(ctx context.Context, r oapi.ListVirtualMachinesRequestObject) (oapi.ListVirtualMachinesResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := s.site(ctx, r.Vault, r.Site); err != nil {
		return nil, err
	}
	rows, err := s.queries.VirtualMachines(ctx, r.Vault, r.Site, value(r.Params.Host), p.page)
	if err != nil {
		return nil, err
	}
	items, err := s.queries.ItemsAt(ctx, r.Vault, r.Site, value(r.Params.Host))
	if err != nil {
		return nil, err
	}
	var body oapi.VirtualMachinePageJSONResponse
	rows, body.NextLink = nextLink(p, rows, projections.VirtualMachineKey)
	body.Value = each(rows, func(v projections.FoundVM) oapi.VirtualMachine { return virtualMachineOf(r.Site, v, items) })
	return oapi.ListVirtualMachines200JSONResponse{VirtualMachinePageJSONResponse: body}, nil
}

// GetVirtualMachine answers GET …/sites/{site}/virtualMachines/{virtualMachine}.
func (s *Server) GetVirtualMachine(ctx context.Context, r oapi.GetVirtualMachineRequestObject) (oapi.GetVirtualMachineResponseObject, error) {
	if _, err := s.site(ctx, r.Vault, r.Site); err != nil {
		return nil, err
	}
	v, err := s.queries.VirtualMachine(ctx, r.Vault, r.Site, value(r.Params.Host), r.VirtualMachine)
	if v, err = found(v, err, errorcatalog.VirtualMachineNotFound, "virtual machine "+r.VirtualMachine); err != nil {
		return nil, err
	}
	items, err := s.queries.ItemsAt(ctx, r.Vault, r.Site, v.Host)
	if err != nil {
		return nil, err
	}
	body := virtualMachineOf(r.Site, v, items)
	return oapi.GetVirtualMachine200JSONResponse{VirtualMachineReadJSONResponse: oapi.VirtualMachineReadJSONResponse{
		Body: body, Headers: oapi.VirtualMachineReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// virtualMachineOf shows a VM with what keeps it from being protected in the
// most generous store; another one may hold less.
func virtualMachineOf(siteID string, v projections.FoundVM, items []itemRow) oapi.VirtualMachine {
	checks := protecteditem.CheckPrerequisites(v.VM, nil, protecteditem.LimitsOf(protecteditem.DirectoryStore))
	out := oapi.VirtualMachine{
		ID: v.VM.ID, Host: v.Host, Name: v.VM.Name, Generation: small(v.VM.Generation), Cpus: small(v.VM.CPUs), MemoryMiB: int64(v.VM.MemoryMiB),
		Nics: each(v.VM.NICs, nicOf), Disks: each(v.VM.Disks, diskOf), Problems: []oapi.Finding{}, Etag: etagOf(v.Version),
		Protectable: len(checks.Failures) == 0 && len(v.Problems) == 0, ProtectedItem: itemOf(siteID, v, items),
	}
	for _, p := range v.Problems {
		out.Problems = append(out.Problems, *undated(&p.Failure))
	}
	for _, f := range append(checks.Failures, checks.Warnings...) {
		out.Problems = append(out.Problems, *undated(&f))
	}
	return out
}

// itemOf finds the item that protects a VM, or that made it on the recovery side.
func itemOf(siteID string, v projections.FoundVM, items []itemRow) *string {
	for _, row := range items {
		st := row.State
		source := st.Site == siteID && st.Host == v.Host && st.VM.ID == v.VM.ID
		recovered := st.Recovery.Site == siteID && st.Recovery.Host == v.Host && st.Recovery.VM == v.VM.ID
		if source || recovered {
			return new(row.ID)
		}
	}
	return nil
}

func nicOf(n site.NIC) oapi.NIC {
	out := oapi.NIC{Name: n.Name, MacAddress: optional(n.MACAddress), Network: optional(n.Network), Address: addressOf(n.Address)}
	if n.Primary {
		out.Primary = new(true)
	}
	return out
}

func diskOf(d site.Disk) oapi.Disk {
	out := oapi.Disk{ID: d.ID, File: d.File, Format: string(d.Format), SizeBytes: d.SizeBytes, Os: d.OS, Shared: &d.Shared, PassThrough: &d.PassThrough}
	if d.SectorSize != 0 {
		out.SectorSize = new(small(d.SectorSize))
	}
	return out
}
