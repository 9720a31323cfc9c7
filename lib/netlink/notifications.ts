import { closeSync } from 'node:fs';
import { MessageType } from 'netlink/dist/rt/gen_structs.js';
import { type NetlinkMessage, parseMessages } from 'netlink/dist/structs.js';
import { nativeSockets } from '../native/native.ts';
import { forget, wakeOnce } from '../native/wake.ts';
import type { Namespace } from '../netns/netns.ts';
import { inNamespace, socketError } from './transport.ts';

/** Something of a namespace that has changed. */
export type Notice = {
  readonly of: 'link' | 'address' | 'route' | 'rule';
  /** It is gone; else it is new, or another than before. */
  readonly isGone: boolean;
  /** It has taken the place of another. */
  readonly replaces: boolean;
  /** Whose route it is (`rtm_protocol`). */
  readonly protocol?: number;
};

/** What has changed, in its order; `lost` if it was more than the socket holds, so that it may be anything. */
export type Notices = readonly Notice[] | 'lost';

/**
 * A socket that is told of every change of links, addresses, routes and rules in a namespace, by the kernel and by nobody
 * else (rtnetlink(7)). It keeps the namespace alive.
 */
export class Notifications {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Throws NetlinkError; NamespaceError if it is not a network namespace; AddonError. */
  static open(namespace: Namespace): Notifications {
    const { openNotifications } = nativeSockets();
    return new Notifications(inNamespace(namespace, openNotifications));
  }

  /** Calls back once when there is something to read, now or later. Throws NetlinkError. */
  wakeOnce(callback: () => void): void {
    try {
      wakeOnce(this.#fd, callback);
    } catch (error) {
      throw socketError('netlink notifications', error);
    }
  }

  /** What there is to read, as far as it is no more than the socket holds. Throws NetlinkError. */
  read(): Notices {
    const notices: Notice[] = [];
    let isLost = false;
    // Whoever floods it does not keep us here.
    for (let datagrams = 0; datagrams < MOST_AT_ONCE; datagrams++) {
      const read = this.#readOne();
      if (read === undefined) return isLost ? 'lost' : notices;
      if (read === 'lost') isLost = true;
      else notices.push(...read.flatMap(noticeIn));
    }
    return 'lost';
  }

  close(): void {
    forget(this.#fd);
    closeSync(this.#fd);
  }

  #readOne(): NetlinkMessage[] | 'lost' | undefined {
    datagram ??= Buffer.allocUnsafe(DATAGRAM_BYTES);
    try {
      const bytes = nativeSockets().readNotification(this.#fd, datagram);
      if (bytes < 0) return 'lost';
      return bytes === 0 ? undefined : parseMessages(datagram.subarray(0, bytes));
    } catch (error) {
      throw socketError('netlink notifications', error);
    }
  }
}

/** More than the socket holds (native/notifications.c). */
const MOST_AT_ONCE = 512;

/** The kernel gives each object a datagram of its own, of a page or so. */
const DATAGRAM_BYTES = 32 << 10;
let datagram: Buffer | undefined;

/** NLM_F_REPLACE (linux/netlink.h). */
const NLM_F_REPLACE = 0x100;

/** `rtm_protocol` in struct rtmsg (linux/rtnetlink.h). */
const RTM_PROTOCOL = 5;

const KINDS: { readonly [type: number]: Pick<Notice, 'of' | 'isGone'> } = {
  [MessageType.NEWLINK]: { of: 'link', isGone: false },
  [MessageType.DELLINK]: { of: 'link', isGone: true },
  [MessageType.NEWADDR]: { of: 'address', isGone: false },
  [MessageType.DELADDR]: { of: 'address', isGone: true },
  [MessageType.NEWROUTE]: { of: 'route', isGone: false },
  [MessageType.DELROUTE]: { of: 'route', isGone: true },
  [MessageType.NEWRULE]: { of: 'rule', isGone: false },
  [MessageType.DELRULE]: { of: 'rule', isGone: true },
};

function noticeIn({ type, flags, data }: NetlinkMessage): Notice | [] {
  const kind = KINDS[type];
  if (kind === undefined) return [];
  const protocol = kind.of === 'route' ? data[RTM_PROTOCOL] : undefined;
  return { ...kind, replaces: (flags & NLM_F_REPLACE) !== 0, ...(protocol !== undefined && { protocol }) };
}
