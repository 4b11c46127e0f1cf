//! AAC frames into an MPEG transport stream (ISO/IEC 13818-1): one audio stream, one program.

use mpeg2ts::{
    es::{StreamId, StreamType},
    pes::PesHeader,
    time::{ClockReference, Timestamp},
    ts::{
        AdaptationField, ContinuityCounter, EsInfo, Pid, ProgramAssociation, TransportScramblingControl, TsHeader,
        TsPacket, TsPacketWriter, TsPayload, VersionNumber, WriteTsPacket as _,
        payload::{Bytes, Pat, Pes, Pmt},
    },
};

use super::{Error, cut::FRAME};

const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const AUDIO_PID: u16 = 0x100;
const PROGRAM: u16 = 1;
/// AAC frames in one PES packet.
const FRAMES_PER_PES: usize = 8;
/// AAC frames in the first PES packet of a segment. After a seek libavformat (`hls.c`) drops what has a date before the place,
/// up to the first packet without one, which is the second frame of a PES packet, and mpv does not know when what follows is
/// to be heard until the next date: 184 ms with eight frames here, 44 ms with two (measured with mpv 0.35 and ffmpeg 5.1;
/// with one nothing is gained, since the next packet is dated, too). 258 frames are 2 and 32 times 8; another number of them
/// takes a packet of 188 bytes more than without.
const FIRST_FRAMES: usize = 2;
/// PTS of an item's first frame, in ticks of 90 kHz: 10 s.
const BASE_PTS: u64 = 900_000;
/// How far the clock runs ahead of what it dates, in ticks of 90 kHz: one second, as much as a decoder buffers
/// (ISO/IEC 13818-1 §2.4.2.6). VLC throws away what it has of an item when the next one begins, up to a second of it, but
/// what the clock was further ahead of (measured with 3.0: 0.9 s were lost with 100 ms, 0.4 s with 700 ms, nothing with 1 s).
const PCR_LEAD: u64 = 90_000;
const PACKET_PAYLOAD: usize = 184;
/// An adaptation field with a PCR.
const PCR_FIELD: usize = 8;
/// A PES header with a PTS, of which 8 bytes count as the packet's own length.
const PES_HEADER: usize = 14;
const PES_HEADER_COUNTED: usize = 8;

/// Makes the segments of one item. Time stamps and continuity counters run on from segment to segment, so each
/// segment's bytes depend on its item and its place in it alone.
pub(super) struct Muxer {
    rate: u32,
    frames: u64,
    pat: ContinuityCounter,
    pmt: ContinuityCounter,
    audio: ContinuityCounter,
}

impl Muxer {
    pub(super) fn new(rate: u32) -> Self {
        let zero = ContinuityCounter::new();
        Self { rate, frames: 0, pat: zero, pmt: zero, audio: zero }
    }

    /// Frames that have been made into segments.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The next segment: the tables, then the frames (ADTS), two in the first PES packet and eight in each other.
    pub(super) fn segment(&mut self, frames: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
        self.write(frames).map_err(|error| Error::Encoder(format!("a transport stream cannot be made: {error}")))
    }

    fn write(&mut self, frames: &[Vec<u8>]) -> mpeg2ts::Result<Vec<u8>> {
        let size: usize = frames.iter().map(Vec::len).sum();
        let mut out = TsPacketWriter::new(Vec::with_capacity(size * 9 / 8 + 4 * TsPacket::SIZE));
        out.write_ts_packet(&packet(PAT_PID, &mut self.pat, None, TsPayload::Pat(pat()?))?)?;
        out.write_ts_packet(&packet(PMT_PID, &mut self.pmt, None, TsPayload::Pmt(pmt()?))?)?;
        let (first, rest) = frames.split_at(frames.len().min(FIRST_FRAMES));
        for (index, group) in first.chunks(FIRST_FRAMES).chain(rest.chunks(FRAMES_PER_PES)).enumerate() {
            self.write_pes(&mut out, &group.concat(), index == 0)?;
            self.frames += group.len() as u64;
        }
        let mut bytes = out.into_stream();
        bytes.as_chunks_mut::<{ TsPacket::SIZE }>().0.iter_mut().for_each(reserve_clock_bits);
        Ok(bytes)
    }

    fn write_pes(&mut self, out: &mut TsPacketWriter<Vec<u8>>, data: &[u8], first: bool) -> mpeg2ts::Result<()> {
        let pts = BASE_PTS + self.frames * FRAME * 90_000 / u64::from(self.rate);
        let (head, rest) = data.split_at(data.len().min(PACKET_PAYLOAD - PCR_FIELD - PES_HEADER));
        let pes = Pes {
            header: pes_header(pts)?,
            pes_packet_len: (data.len() + PES_HEADER_COUNTED) as u16,
            data: Bytes::new(head)?,
        };
        let field = adaptation_field(pts - PCR_LEAD, first)?;
        out.write_ts_packet(&packet(AUDIO_PID, &mut self.audio, Some(field), TsPayload::PesStart(pes))?)?;
        for chunk in rest.chunks(PACKET_PAYLOAD) {
            let payload = TsPayload::PesContinuation(Bytes::new(chunk)?);
            out.write_ts_packet(&packet(AUDIO_PID, &mut self.audio, None, payload)?)?;
        }
        Ok(())
    }
}

/// Sets the six reserved bits of a packet's clock, which the writer leaves at 0 and the standard has at 1 (§2.4.3.4).
fn reserve_clock_bits(packet: &mut [u8; TsPacket::SIZE]) {
    let has_field = packet[3] & 0x20 != 0 && packet[4] > 0;
    if has_field && packet[5] & 0x10 != 0 {
        packet[10] |= 0x7e;
    }
}

fn packet(
    pid: u16,
    counter: &mut ContinuityCounter,
    adaptation_field: Option<AdaptationField>,
    payload: TsPayload,
) -> mpeg2ts::Result<TsPacket> {
    let header = TsHeader {
        transport_error_indicator: false,
        transport_priority: false,
        pid: Pid::new(pid)?,
        transport_scrambling_control: TransportScramblingControl::NotScrambled,
        continuity_counter: *counter,
    };
    counter.increment();
    Ok(TsPacket { header, adaptation_field, payload: Some(payload) })
}

fn pat() -> mpeg2ts::Result<Pat> {
    let program = ProgramAssociation { program_num: PROGRAM, program_map_pid: Pid::new(PMT_PID)? };
    Ok(Pat { transport_stream_id: 1, version_number: VersionNumber::new(), table: vec![program] })
}

fn pmt() -> mpeg2ts::Result<Pmt> {
    let elementary_pid = Pid::new(AUDIO_PID)?;
    Ok(Pmt {
        program_num: PROGRAM,
        pcr_pid: Some(elementary_pid),
        version_number: VersionNumber::new(),
        program_info: Vec::new(),
        es_info: vec![EsInfo { stream_type: StreamType::AdtsAac, elementary_pid, descriptors: Vec::new() }],
    })
}

fn pes_header(pts: u64) -> mpeg2ts::Result<PesHeader> {
    Ok(PesHeader {
        stream_id: StreamId::new_audio(StreamId::AUDIO_MIN)?,
        priority: false,
        data_alignment_indicator: true,
        copyright: false,
        original_or_copy: false,
        pts: Some(Timestamp::new(pts)?),
        dts: None,
        escr: None,
    })
}

fn adaptation_field(pcr: u64, random_access: bool) -> mpeg2ts::Result<AdaptationField> {
    Ok(AdaptationField {
        discontinuity_indicator: false,
        random_access_indicator: random_access,
        es_priority_indicator: false,
        pcr: Some(ClockReference::new(pcr * 300)?),
        opcr: None,
        splice_countdown: None,
        transport_private_data: Vec::new(),
        extension: None,
    })
}
