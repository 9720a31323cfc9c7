import type { CniCode } from '../cni/errors.ts';
import type { NetlinkError } from '../netlink/errors.ts';
import type { Link } from '../netlink/link.ts';
import type { Request } from '../netlink/message.ts';
import type { Route } from '../netlink/route.ts';
import type { Rule } from '../netlink/rule.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Observation } from '../observation/observation.ts';
import type { Detours } from './rename.ts';

/** Names for people to read: a link's, by its index. */
export type Names = Pick<Observation, 'linkName'>;

/** What a change does to a namespace, for those who plan on without making it. */
export type Effect = {
  readonly deletes?: Route;
  readonly adds?: Route;
  readonly deletesRule?: Rule;
  readonly addsRule?: Rule;
  readonly link?: { readonly index: number; after(link: Link): Link };
};

/** What a refusal by the kernel means to ADD: a code, and the words for it. */
export type Refusal = { readonly code: CniCode; readonly text: string };

/**
 * Everything there is to know about a kind of change: `C` is the change, `I` its inverse. Nothing else asks a change for
 * its `op`, so a new kind is one row of these, in a file beside this one, and a line in change.ts.
 */
export type Kind<C, I> = {
  inverse(change: C): I;
  /** Is it so already, so that nothing has to be done? */
  holds(change: C, observed: Observation): boolean;
  /** The change as one line, in the words of `ip`. */
  describe(change: C, names: Names): string;
  /** What is wrong while the change does not hold, as one line. */
  difference(change: C, names: Names): string;
  /** The one message to the kernel that makes the change. */
  request(change: C): Request;
  /** For a change that may take more than one message: makes it, and returns the refusal. Throws NetlinkError. */
  make?(socket: RouteSocket, change: C, text: string, detours?: Detours): Promise<NetlinkError | undefined>;
  /** Did a process that was killed leave this recorded change half made, so that it must be finished first? */
  isHalfMade?(change: C): boolean;
  /** The recorded change with what is known of the same one, or its inverse, under way (`make`); undefined for another. */
  progress?(recorded: C, underWay: C): C | undefined;
  /** Refusals, by errno, which mean more to ADD than that the kernel refused. */
  readonly refusals: { readonly [errno: string]: Refusal };
  /** Refusals which say, when the change is made to undo another, that there is nothing left to undo. */
  readonly undoneBy: ReadonlySet<string>;
  /**
   * Does undoing the change give back what was there before, instead of taking away what is ours? Giving back is best
   * effort: a pod can make it impossible, and must not be kept from going away by that.
   */
  readonly undoGivesBack: boolean;
  /**
   * Could the kernel take the message for something else than is meant, so that whoever makes it from a record, without
   * having planned it, must look first whether it holds?
   */
  needsLook(change: C): boolean;
  /** Does CHECK insist on it? */
  readonly isChecked: boolean;
  /** Can it be undone by the config alone, without a journal that says what was there before? */
  isKnownByConfig(change: C, observed: Observation): boolean;
  effect(change: C): Effect;
  /** Does a change that came from a journal have its fields? */
  isValid(change: Partial<C>): boolean;
};
