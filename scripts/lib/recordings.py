"""Recordings made with FFmpeg: something in every band, at uneven levels."""

import subprocess

KINDS = {".flac", ".mp3", ".ogg", ".opus", ".wav", ".m4a"}


def library(folder, count, seconds):
    """So many recordings in four formats, half of them quiet and with peaks that want a limiter."""
    files = []
    for number in range(count):
        kind = ["flac", "mp3", "ogg", "wav"][number % 4]
        files.append(folder / f"{number}.{kind}")
        make(files[-1], 220 + 55 * number, seconds, quiet=number % 8 >= 4)
    return files


def make(path, tone, seconds, quiet=False):
    """One recording: noise, a tone and a drum on every beat. A quiet one has the same drum over less of the rest."""
    noise = 0.08 if quiet else 0.3
    source = (f"anoisesrc=c=pink:r=44100:d={seconds}:a={noise}:seed={tone}[n];sine=f={tone}:r=44100:d={seconds},volume={noise}[s];"
              f"aevalsrc=0.8*sin(2*PI*180*t)*exp(-40*mod(t\\,0.5)):s=44100:d={seconds}[d];"
              "[n][s][d]amix=3:normalize=0,volume=0.9,tremolo=f=0.3:d=0.5,aformat=channel_layouts=stereo")
    run(["-filter_complex", source, str(path)])


def looped(source, target, seconds):
    """The same recording again and again, for so many seconds. Encoded anew: the frames of a FLAC are numbered."""
    run(["-stream_loop", "-1", "-i", str(source), "-t", str(seconds), str(target)])


def run(arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=True)
