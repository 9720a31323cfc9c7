import { nativeSockets } from './native.ts';

/** What systemd gives a service that is to report how it is (sd_notify(3), sd_watchdog_enabled(3)). */

/**
 * Tells the service manager a state (`READY=1`, `WATCHDOG=1`), where there is one. Node.js has no datagrams of Unix
 * sockets, so the addon sends it. A manager that cannot be reached is none of the calls' business: false.
 */
export function notifyManager(
  { NOTIFY_SOCKET: address }: { readonly [name: string]: string | undefined },
  state: string,
): boolean {
  if (address === undefined || address === '') return false;
  try {
    nativeSockets().notify(address, state);
    return true;
  } catch {
    return false;
  }
}
