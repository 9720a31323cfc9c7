import { CniCode } from '../cni/errors.ts';
import { addAltnameRequest, deleteAltnameRequest, renameLinkRequest } from '../netlink/link.ts';
import type { Kind, Refusal } from './kind.ts';
import { type RenameLink, renameLink } from './rename.ts';

export type AddAltname = { readonly op: 'add-altname'; readonly link: number; readonly name: string };
export type DeleteAltname = { readonly op: 'delete-altname'; readonly link: number; readonly name: string };

const NAME_TAKEN: Refusal = { code: CniCode.nameTaken, text: 'another interface took the name meanwhile' };

export const addAltname: Kind<AddAltname, DeleteAltname> = {
  inverse: ({ link, name }) => ({ op: 'delete-altname', link, name }),
  holds: ({ link, name }, observed) => observed.linkAt(link)?.altnames.includes(name) === true,
  describe: ({ link, name }, { linkName }) => `add altname ${name} to ${linkName(link)}`,
  difference: ({ link, name }, { linkName }) => `interface ${linkName(link)} has no altname ${name}`,
  request: addAltnameRequest,
  refusals: { EEXIST: NAME_TAKEN },
  // The link is gone, or the name is another's by now.
  undoneBy: new Set(['ENODEV', 'EEXIST']),
  undoGivesBack: false,
  needsLook: () => false,
  isChecked: true,
  isKnownByConfig: () => true,
  effect: ({ link, name }) => ({
    link: { index: link, after: (before) => ({ ...before, altnames: [...without(before.altnames, name), name] }) },
  }),
  isValid: hasName,
};

export const deleteAltname: Kind<DeleteAltname, AddAltname> = {
  inverse: ({ link, name }) => ({ op: 'add-altname', link, name }),
  holds: ({ link, name }, observed) => observed.linkAt(link)?.altnames.includes(name) !== true,
  describe: ({ link, name }, { linkName }) => `delete altname ${name} of ${linkName(link)}`,
  difference: ({ link, name }, { linkName }) => `interface ${linkName(link)} still has the altname ${name}`,
  request: deleteAltnameRequest,
  refusals: { EEXIST: NAME_TAKEN },
  // The link is gone, or the altname of it; or the kernel is older than 5.5, and no link has altnames.
  undoneBy: new Set(['ENODEV', 'ENOENT', 'EINVAL', 'EOPNOTSUPP']),
  undoGivesBack: true,
  needsLook: () => false,
  isChecked: true,
  isKnownByConfig: () => false,
  effect: ({ link, name }) => ({
    link: { index: link, after: (before) => ({ ...before, altnames: without(before.altnames, name) }) },
  }),
  isValid: hasName,
};

export const rename: Kind<RenameLink, RenameLink> = {
  inverse: ({ from, to, ...rest }) => ({ ...rest, from: to, to: from }),
  holds: ({ link, to, lost }, observed) => observed.linkAt(link)?.name === to && lost === undefined,
  describe: ({ from, to }) => `rename interface ${from} to ${to}`,
  difference: ({ link, to }, { linkName }) => `interface ${linkName(link)} is not named ${to}`,
  request: ({ link, to }) => renameLinkRequest({ link, name: to }),
  make: renameLink,
  isHalfMade: ({ lost }) => lost !== undefined,
  // Undoing goes by the names that were recorded, whichever way this rename goes.
  progress: ({ lost: _, ...recorded }, { link, lost }) => {
    if (recorded.link !== link) return undefined;
    return lost === undefined ? recorded : { ...recorded, lost };
  },
  refusals: { EEXIST: NAME_TAKEN },
  // The link is gone.
  undoneBy: new Set(['ENODEV']),
  undoGivesBack: true,
  // A rename may take the link down on its way.
  needsLook: () => true,
  isChecked: true,
  // Only where the link still answers to its first name.
  isKnownByConfig: ({ link, from }, observed) => observed.linkAt(link)?.altnames.includes(from) === true,
  effect: ({ link, to }) => ({ link: { index: link, after: (before) => ({ ...before, name: to }) } }),
  isValid: ({ link, from, to }) => typeof link === 'number' && typeof from === 'string' && typeof to === 'string',
};

function hasName({ link, name }: { link?: number; name?: string }): boolean {
  return typeof link === 'number' && typeof name === 'string';
}

function without(names: readonly string[], name: string): string[] {
  return names.filter((other) => other !== name);
}
