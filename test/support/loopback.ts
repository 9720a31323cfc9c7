/**
 * An address of the loopback interface for this process alone: a port that was free there stays free, whatever else listens
 * on the machine meanwhile. Process IDs have 22 bits at most.
 */
export const OWN_LOOPBACK: string = [127, 64 + (process.pid >> 16), (process.pid >> 8) & 255, process.pid & 255].join(
  '.',
);
